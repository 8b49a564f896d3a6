"""Settings of other trainers beside an exported dataset: `dataset_info.json` of LLaMA-Factory, a YAML snippet for Axolotl."""

import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from glan_core.dataset.formats import file_suffix
from glan_core.dataset.settings import ExportFormat
from glan_core.dataset.splits import TRAIN, VALIDATION

LLAMA_FACTORY, AXOLOTL = "dataset_info.json", "axolotl.yaml"

_MESSAGES = {
    "formatting": "sharegpt", "columns": {"messages": "messages"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"},
}  # fmt: skip
_LLAMA_FACTORY: dict[str, dict] = {
    "chat": _MESSAGES, "openai": _MESSAGES, "parquet": _MESSAGES, "datasets": _MESSAGES,
    "alpaca": {"formatting": "alpaca", "columns": {"prompt": "instruction", "query": "input", "response": "output"}},
    "sharegpt": {
        "formatting": "sharegpt", "columns": {"messages": "conversations"},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"},
    },
}  # fmt: skip
_TURNS = {
    "type": "chat_template", "field_messages": "messages", "message_property_mappings": {"role": "role", "content": "content"},
    "roles_to_train": ["assistant"], "train_on_eos": "turn",
}  # fmt: skip
_AXOLOTL: dict[str, dict] = {
    "chat": _TURNS, "openai": _TURNS, "parquet": _TURNS, "datasets": _TURNS, "alpaca": {"type": "alpaca"},
    "sharegpt": _TURNS | {
        "field_messages": "conversations", "message_property_mappings": {"role": "from", "content": "value"},
        "roles": {"user": ["human"], "assistant": ["gpt"]},
    },
}  # fmt: skip


def llama_factory_settings(form: ExportFormat, splits: Iterable[str]) -> dict | None:
    """Return the content of `dataset_info.json`, one entry per split; None if LLaMA-Factory cannot read the format."""
    if form not in _LLAMA_FACTORY:
        return None
    return {f"glan_{split}": {"file_name": _data_file(form, split)} | _LLAMA_FACTORY[form] for split in splits}


def axolotl_settings(form: ExportFormat, splits: Iterable[str]) -> dict | None:
    """Return the data section of an Axolotl configuration; None if Axolotl cannot read the format."""
    if form not in _AXOLOTL:
        return None
    places = {split: {"path": split} if form == "datasets" else {"path": _data_file(form, split)} for split in splits}
    kind = {} if form == "datasets" else {"ds_type": "parquet" if form == "parquet" else "json", "split": "train"}
    entries = {split: place | kind | _AXOLOTL[form] for split, place in places.items()}
    held_out = {"test_datasets": [entries[VALIDATION]]} if VALIDATION in entries else {"val_set_size": 0.0}
    template = {} if form == "alpaca" else {"chat_template": "tokenizer_default"}
    return {**template, "datasets": [entries[TRAIN]], **held_out}


def write_trainer_settings(folder: Path, form: ExportFormat, splits: Iterable[str]) -> None:
    """Write the settings of the trainers that read the format into the folder of an export."""
    splits = sorted(splits)
    if entries := llama_factory_settings(form, splits):
        (folder / LLAMA_FACTORY).write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
    if TRAIN in splits and (section := axolotl_settings(form, splits)):
        head = "# Data section of an Axolotl configuration: merge it into yours and run axolotl in this folder, or write full paths.\n"
        (folder / AXOLOTL).write_text(head + yaml.safe_dump(section, sort_keys=False), "utf-8")


def _data_file(form: ExportFormat, split: str) -> str:
    """Return the path of a split's data within the folder."""
    return f"{split}/data-00000-of-00001.arrow" if form == "datasets" else f"{split}{file_suffix(form)}"
