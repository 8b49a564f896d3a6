"""Model card: the README of a tuned model, generated from its stored info."""

import yaml

from glan_core.dataset.card import license_of
from glan_core.dataset.manifest import Manifest
from glan_core.formatting import duration, exact, number
from glan_core.io.packaged_models import local_place
from glan_core.markdown import plain, table
from glan_core.models.tuned_model_store import TunedModel

MOST = 20  # maximum number of disciplines listed


def model_card(model: TunedModel, manifest: Manifest | None, license: str | None = None, gguf: str = "") -> str:
    """Return the text of the card.

    Args:
        model: The tuned model.
        manifest: Manifest of its training snapshot, None if it no longer exists.
        license: License identifier for the front matter.
        gguf: Name of the GGUF file that the card describes, '' for safetensors.
    """
    parts = [
        _front_matter(model, license, gguf), f"# {plain(model.name)}\n\n{_opening(model)}", f"## Training\n\n{_training(model)}",
        f"## Data\n\n{_data(model, manifest)}",
        "## Known limitations\n\n" + "\n".join(f"- {limit}" for limit in _limits(model, manifest)),
        f"## Usage\n\n{_use_gguf(model, gguf) if gguf else _use(model)}",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def serving_commands(model: TunedModel, path: str) -> dict[str, str]:
    """Return the commands that serve the model as an OpenAI-compatible endpoint, by program.

    Args:
        model: The tuned model.
        path: Folder of its weights.
    """
    if model.form == "adapter":
        return {
            "vLLM": f"vllm serve {local_place(model.base)} --enable-lora --max-lora-rank {_rank(model)} --lora-modules {model.name}={path}",
            "After merging": "glan models DIR merge NAME NEW_NAME",
        }
    return {"vLLM": f"vllm serve {path} --served-model-name {model.name}", "transformers": f"transformers serve {path}"}


def _rank(model: TunedModel) -> int:
    """Return the smallest rank supported by vLLM that fits the adapter."""
    rank = model.settings.get("lora_rank", 16)
    return next((size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= rank), rank)


def _front_matter(model: TunedModel, license: str | None, gguf: str) -> str:
    values = {
        **({"license": license} if license else {}), "language": ["en"], "pipeline_tag": "text-generation",
        "library_name": "gguf" if gguf else "peft" if model.form == "adapter" else "transformers",
        "tags": ["instruction-tuning", "glan", "synthetic"],
        **({"base_model": model.base} if model.base and model.base == model.base_name else {}),
    }  # fmt: skip
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def _opening(model: TunedModel) -> str:
    what = "A LoRA adapter for" if model.form == "adapter" else "A fine-tuned version of" if model.base else "A tiny model with"
    base = f" {plain(model.base_name)}" if model.base else f" {number(model.parameters)} parameters (Mistral architecture)"
    scratch = "" if model.base else "initialized from scratch and "
    return (
        f"{what}{base}, {scratch}fine-tuned on {number(model.rows)} instruction pairs of snapshot `{model.snapshot}` "
        f"(`{model.snapshot_hash}`) with GLAN Studio on {exact(model.created_at)[:10]}. Weights hash: `{model.weights_hash}`."
    )


def _training(model: TunedModel) -> str:
    s, losses = model.settings, model.losses
    rows = [
        ("Recipe", model.recipe), ("Method", s.get("method", "")), ("Steps", model.steps), ("Epochs", f"{model.epochs:g}"),
        ("Global batch size", s.get("global_batch_size", "")), ("Peak learning rate", f"{s.get('learning_rate', 0):g}"),
        ("Schedule", s.get("schedule", "")), ("Max length (tokens)", s.get("max_length", "")), ("Tokens seen", model.tokens),
        ("Precision", model.precision), ("Trainable parameters", model.trained_parameters),
        ("Duration", duration(model.seconds)), ("Seed", s.get("seed", "")),
        *((f"{name.capitalize()} loss (nats per token)", f"{loss:.4f}") for name, loss in losses.items()),
        *([("Validation loss (bits per byte)", f"{model.bits_per_byte:.4f}")] if model.bits_per_byte is not None else []),
    ]  # fmt: skip
    early = "\n\nTraining was ended early by a person." if model.stopped_early else ""
    merged = f"\n\nAdapter `{model.merged_from}` is merged into these weights." if model.merged_from else ""
    return table(("Setting", "Value"), rows) + "\n\nThe loss covers the answer and its end token only." + early + merged


def _data(model: TunedModel, manifest: Manifest | None) -> str:
    names = {id: (place.field, place.name) for id, place in manifest.disciplines.items()} if manifest else {}
    rows = [(*names.get(id, ("", id)), count) for id, count in list(model.disciplines.items())[:MOST]]
    more = len(model.disciplines) - len(rows)
    teachers = sorted({t for names in (manifest.teachers if manifest else {}).values() for t in names})
    terms = "\n".join(f"- {plain(teacher)}: {license_of(teacher).says}" for teacher in teachers)
    return (
        table(("Field", "Discipline", "Pairs"), rows) + (f"\n\nand {number(more)} more." if more > 0 else "")
        + (f"\n\nThe pairs were generated by these teachers, whose license terms may apply:\n\n{terms}" if terms else "")
    )  # fmt: skip


def _limits(model: TunedModel, manifest: Manifest | None) -> list[str]:
    limits = ["Its outputs were not verified and may be wrong."]
    if not model.base:
        limits.append(
            "It was initialized from scratch and trained on few rows: it recalls its topics and writes nonsense about others."
        )
    if not model.held_out:
        limits.append("There is no validation split, so overfitting was not measured.")
    if manifest and any(license_of(t).family == "the scripted teacher" for names in manifest.teachers.values() for t in names):
        limits.append("It was trained on rows of the scripted teacher, which are templates for testing, not knowledge.")
    return limits


def _use_gguf(model: TunedModel, file: str) -> str:
    return (
        f"```sh\nollama create {model.name} -f Modelfile && ollama run {model.name}\nllama-server -m {file}\n```\n\n"
        "The file includes the chat template used in training, and the Modelfile has it in Ollama's template language."
        + (" The adapter is merged into the base model." if model.form == "adapter" else "")
    )


def _use(model: TunedModel) -> str:
    if model.form == "adapter":
        load = f"from peft import AutoPeftModelForCausalLM\n\nmodel = AutoPeftModelForCausalLM.from_pretrained(path)  # on {model.base_name}"
    else:
        load = "from transformers import AutoModelForCausalLM\n\nmodel = AutoModelForCausalLM.from_pretrained(path)"
    return (
        f"```python\nfrom transformers import AutoTokenizer\n{load}\ntokenizer = AutoTokenizer.from_pretrained(path)\n"
        'messages = [{"role": "user", "content": "…"}]\n'
        'prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)\n'
        "print(tokenizer.decode(model.generate(**prompt, max_new_tokens=400)[0]))\n```\n\n"
        "The tokenizer includes the chat template used in training."
    )
