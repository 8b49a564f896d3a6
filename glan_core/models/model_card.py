"""The card of a tuned model: a README for people and for the Hub, made from the facts alone."""

import yaml

from glan_core.dataset.card import license_of
from glan_core.dataset.manifest import Manifest
from glan_core.formatting import duration, exact, number
from glan_core.markdown import plain, table
from glan_core.models.tuned_model_store import TunedModel

MOST = 20  # disciplines that are listed


def model_card(model: TunedModel, manifest: Manifest | None, license: str | None = None) -> str:
    """The text of the card. `manifest` is that of the snapshot it was trained on, None where that is gone."""
    parts = [
        _front_matter(model, license), f"# {plain(model.name)}\n\n{_opening(model)}", f"## Training\n\n{_training(model)}",
        f"## Data\n\n{_data(model, manifest)}", "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in _limits(model, manifest)),
        f"## How to use it\n\n{_use(model)}",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def serving(model: TunedModel, path: str) -> dict[str, str]:
    """The commands that serve it as an OpenAI-compatible endpoint, by the name of the program; `path` is its weights' folder."""
    if model.form == "adapter":
        return {
            "vLLM": f"vllm serve {model.base} --enable-lora --max-lora-rank {_rank(model)} --lora-modules {model.name}={path}",
            "merged first": "glan models DIR merge NAME NEW_NAME",
        }
    return {"vLLM": f"vllm serve {path} --served-model-name {model.name}", "transformers": f"transformers serve {path}"}


def _rank(model: TunedModel) -> int:
    """The least rank that vLLM offers and the adapter fits in."""
    rank = model.settings.get("lora_rank", 16)
    return next((size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= rank), rank)


def _front_matter(model: TunedModel, license: str | None) -> str:
    values = {
        **({"license": license} if license else {}), "language": ["en"], "pipeline_tag": "text-generation",
        "library_name": "peft" if model.form == "adapter" else "transformers", "tags": ["instruction-tuning", "glan", "synthetic"],
        **({"base_model": model.base} if model.base and model.base == model.base_name else {}),
    }  # fmt: skip
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def _opening(model: TunedModel) -> str:
    what = "A LoRA adapter to" if model.form == "adapter" else "Tuned from" if model.base else "A tiny model made from nothing,"
    base = f" {plain(model.base_name)}" if model.base else f" {number(model.parameters)} parameters in Mistral's architecture"
    return (
        f"{what}{base}, fine-tuned on {number(model.rows)} instruction pairs of the snapshot `{model.snapshot}` (`{model.snapshot_hash}`) "
        f"with GLAN Studio on {exact(model.created_at)[:10]}. The hash of its weights is `{model.weights_hash}`."
    )


def _training(model: TunedModel) -> str:
    s, losses = model.settings, model.losses
    rows = [
        ("Recipe", model.recipe), ("Method", s.get("method", "")), ("Steps", model.steps), ("Epochs", f"{model.epochs:g}"),
        ("Pairs a step", s.get("global_batch_size", "")), ("Peak learning rate", f"{s.get('learning_rate', 0):g}"), ("Schedule", s.get("schedule", "")),
        ("Length limit in tokens", s.get("max_length", "")), ("Tokens seen", model.tokens), ("Precision", model.precision),
        ("Trained parameters", model.trained_parameters), ("Time", duration(model.seconds)), ("Seed", s.get("seed", "")),
        *((f"{name.capitalize()} loss in nats a token", f"{loss:.4f}") for name, loss in losses.items()),
    ]  # fmt: skip
    early = "\n\nA person ended it early." if model.stopped_early else ""
    merged = f"\n\nThe adapter `{model.merged_from}` is merged into these weights." if model.merged_from else ""
    return table(("What", "Value"), rows) + "\n\nThe loss is taken on the answer and its end token alone." + early + merged


def _data(model: TunedModel, manifest: Manifest | None) -> str:
    names = {id: (place.field, place.name) for id, place in manifest.disciplines.items()} if manifest else {}
    rows = [(*names.get(id, ("", id)), count) for id, count in list(model.disciplines.items())[:MOST]]
    more = len(model.disciplines) - len(rows)
    teachers = sorted({t for names in (manifest.teachers if manifest else {}).values() for t in names})
    said = "\n".join(f"- {plain(teacher)}: {license_of(teacher).says}" for teacher in teachers)
    return (
        table(("Field", "Discipline", "Pairs"), rows) + (f"\n\nand {number(more)} more." if more > 0 else "")
        + (f"\n\nThe pairs were written by these teachers, whose terms may bind you:\n\n{said}" if said else "")
    )  # fmt: skip


def _limits(model: TunedModel, manifest: Manifest | None) -> list[str]:
    limits = ["What it says was not verified, and may be wrong."]
    if not model.base:
        limits.append(
            "It was made from nothing on few rows: a recall machine, which knows its topics and writes nonsense on others."
        )
    if not model.held_out:
        limits.append("No rows were held out, so nothing tells how much it learned by heart.")
    if manifest and any(license_of(t).family == "the scripted teacher" for names in manifest.teachers.values() for t in names):
        limits.append(
            "It was trained on rows of the scripted teacher, which are templates for trying things out, not knowledge."
        )
    return limits


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
        "The tokenizer brings the chat template that it was trained with."
    )
