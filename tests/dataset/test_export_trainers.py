"""Tests that other trainers read the exports: datasets and TRL by their own code, others by their published rules."""

import json

import pytest
import yaml
from support.runs import execute_run

from glan_core.dataset.export_job import ExportTarget, export_dataset
from glan_core.dataset.formats import COLUMNS, FORMATS, file_suffix, format_row
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.trainer_settings import AXOLOTL, LLAMA_FACTORY
from glan_core.errors import GlanError
from glan_core.taxonomy import tree_editing
from glan_core.training.chat_encoding import Encoder
from glan_core.workspace import homework_rows

SPLIT = RowSelection(split="combination", validation_share=0.4)
# ChatML with a default system message, as the templates of SmolLM2 and Qwen have one.
CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def filled(ws, settings):
    """Workspace with pairs of a grouped discipline and of one removed from the taxonomy."""
    execute_run(ws, settings("mathematics", "music"))
    tree_editing.remove(ws, "music", "Ada")
    return ws


@pytest.fixture
def tokenizer():
    """Byte-level tokenizer with the ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate(alphabet)}, merges=[]))
    letters.pre_tokenizer, letters.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    made = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = CHATML
    return made


@pytest.fixture
def prepare(tokenizer, tmp_path):
    """Return a function that gives an exported folder to SFTTrainer and returns the trainer."""
    import torch
    from datasets import load_dataset, load_from_disk
    from transformers import MistralConfig, MistralForCausalLM
    from trl import SFTConfig, SFTTrainer

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
    )  # fmt: skip
    settings = SFTConfig(
        output_dir=str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=2, max_length=4096, report_to=[],
        save_strategy="no", use_cpu=True, dataloader_pin_memory=False, bf16=False,
        disable_tqdm=True, logging_strategy="no", eval_strategy="steps", eval_steps=1,
    )  # fmt: skip

    def prepared(folder, form: str) -> SFTTrainer:
        cache = str(tmp_path / "cache")
        rows = load_from_disk(str(folder)) if form == "datasets" else load_dataset(str(folder), cache_dir=cache)
        return SFTTrainer(
            model=MistralForCausalLM(config), args=settings, processing_class=tokenizer, train_dataset=rows["train"],
            eval_dataset=rows["validation"],
        )  # fmt: skip

    return prepared


@pytest.mark.parametrize("form", FORMATS)
def test_datasets_loads_every_format_with_its_provenance(filled, tmp_path, form):
    from datasets import load_dataset, load_from_disk

    folder, cache = tmp_path / "out", str(tmp_path / "cache")
    manifest = export_dataset(filled, folder, form, SPLIT)
    loaded = load_dataset(str(folder), cache_dir=cache)
    assert {name: len(rows) for name, rows in loaded.items()} == manifest.rows and len(manifest.rows) == 2
    row = loaded["train"][0]
    assert set(row) == set(format_row(dict.fromkeys(COLUMNS, ""), form))
    origin = row.get("provenance", row)
    if form != "openai":
        assert origin["concepts"] and origin["taxonomy"] and origin["id"].startswith("qst-")
    if form == "datasets":
        assert load_from_disk(str(folder))["validation"].to_list() == loaded["validation"].to_list()
        assert load_from_disk(str(folder)).cache_files["train"]
    else:
        kind = "parquet" if form == "parquet" else "json"
        file = str(folder / f"train{file_suffix(form)}")
        assert len(load_dataset(kind, data_files=file, cache_dir=cache)["train"]) == manifest.rows["train"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["chat", "openai", "prompt-completion", "parquet", "datasets"])
def test_trl_tokenizes_every_format_as_the_studio_does(filled, tmp_path, tokenizer, prepare, form):
    export_dataset(filled, tmp_path / form, form, SPLIT)
    export_dataset(filled, tmp_path / "reference", "chat", SPLIT)
    messages = [json.loads(line)["messages"] for line in (tmp_path / "reference" / "train.jsonl").read_text().splitlines()]
    trainer = prepare(tmp_path / form, form)
    encoder = Encoder(tokenizer.backend_tokenizer, CHATML, bos=None, eos="<|im_end|>")
    newline = tokenizer("\n")["input_ids"]  # what ChatML writes after the end token of an answer
    assert len(trainer.train_dataset) == len(messages) > 3
    for row, (asked, answered) in zip(trainer.train_dataset, messages, strict=True):
        ours = encoder.encode(asked["content"], answered["content"])
        assert row["input_ids"] == ours.ids + newline
        trained = [-100] * ours.start + ours.ids[ours.start :] + newline
        assert row["labels"] == (trained if form == "prompt-completion" else row["input_ids"])
    assert trainer.train().training_loss > 0


def test_openai_files_hold_messages_alone_and_say_how_many_rows_are_needed(filled, tmp_path):
    export_dataset(filled, tmp_path / "rows.jsonl", "openai")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == len(list(homework_rows.all_pairs(filled.db)))
    for row in rows:
        assert list(row) == ["messages"] and [list(turn) for turn in row["messages"]] == [["role", "content"]] * 2
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert all(isinstance(turn["content"], str) and turn["content"].strip() for turn in row["messages"])
    with pytest.raises(GlanError, match="already exists"):
        export_dataset(filled, tmp_path / "rows.jsonl", "openai")  # it carries no sign of an earlier export
    few = {
        "path": str(tmp_path / "few.jsonl"),
        "form": "openai",
        "choice": {"which": {"disciplines": ["music"], "words": "the"}},
    }
    said = execute_run(filled, few, "export").message
    number = len((tmp_path / "few.jsonl").read_text().splitlines())
    assert ("at least 10 training rows" in said) == (number < 10)


@pytest.mark.parametrize("form", FORMATS)
def test_folders_declare_their_rows_to_llama_factory_and_axolotl(filled, tmp_path, form):
    """The rules of LLaMA-Factory's data/README.md and of Axolotl's dataset formats."""
    from datasets import Dataset, load_dataset, load_from_disk

    export_dataset(filled, tmp_path / "out", form, SPLIT)
    folder = tmp_path / "out"
    if form == "prompt-completion":  # neither joins two lists of messages
        assert not (folder / LLAMA_FACTORY).exists() and not (folder / AXOLOTL).exists()
        return
    declared = json.loads((folder / LLAMA_FACTORY).read_text())
    assert set(declared) == {"glan_train", "glan_validation"}
    section = yaml.safe_load((folder / AXOLOTL).read_text())
    for entry, other in (
        (declared["glan_train"], section["datasets"][0]),
        (declared["glan_validation"], section["test_datasets"][0]),
    ):
        data = folder / entry["file_name"]
        kind = {".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}[data.suffix]
        row = load_dataset(kind, data_files=str(data), split="train", cache_dir=str(tmp_path / "cache"))[0]
        columns, tags = entry["columns"], entry.get("tags", {})
        assert set(columns.values()) <= set(row) and entry["formatting"] in ("alpaca", "sharegpt")
        place = folder / other["path"]
        same = load_from_disk(str(place)) if place.is_dir() else load_dataset(
            other["ds_type"], data_files=str(place), split=other["split"], cache_dir=str(tmp_path / "cache")
        )  # fmt: skip
        assert isinstance(same, Dataset) and same[0] == row
        if form == "alpaca":
            assert other["type"] == "alpaca" and {"instruction", "input", "output"} <= set(row)
            continue
        turns = row[columns["messages"]]
        assert [turn[tags["role_tag"]] for turn in turns] == [tags["user_tag"], tags["assistant_tag"]]
        assert all(turn[tags["content_tag"]] for turn in turns)
        mapping = other["message_property_mappings"]
        assert other["type"] == "chat_template" and row[other["field_messages"]] == turns
        names = {name: role for role, names in other.get("roles", {}).items() for name in names}
        roles = [turn[mapping["role"]] for turn in turns]
        assert [names.get(role, role) for role in roles] == ["user", "assistant"] and all(
            turn[mapping["content"]] for turn in turns
        )


def test_a_folder_can_be_asked_for_without_a_split(filled, tmp_path):
    for _ in range(2):  # an earlier export is replaced
        export_dataset(filled, tmp_path / "out", "alpaca", target=ExportTarget(as_folder=True))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"train.jsonl", "manifest.json", "README.md", "coverage.svg", LLAMA_FACTORY, AXOLOTL}
    assert yaml.safe_load((tmp_path / "out" / AXOLOTL).read_text())["val_set_size"] == 0
