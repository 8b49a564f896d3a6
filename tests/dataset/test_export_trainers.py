"""Tests that `datasets` loads every export format and that TRL's SFTTrainer trains on them unchanged."""

import pytest
from support.runs import execute_run

from glan_core.dataset.export_job import export_dataset
from glan_core.dataset.formats import COLUMNS, FORMATS, file_suffix, format_row
from glan_core.dataset.settings import RowSelection
from glan_core.taxonomy import tree_editing

SPLIT = RowSelection(split="combination", validation_share=0.4)


@pytest.fixture
def filled(ws, settings):
    """Workspace with pairs of a grouped discipline and of one removed from the taxonomy."""
    execute_run(ws, settings("mathematics", "music"))
    tree_editing.remove(ws, "music", "Ada")
    return ws


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
    assert origin["concepts"] and origin["taxonomy"] and origin["id"].startswith("qst-")
    if form == "datasets":
        assert load_from_disk(str(folder))["validation"].to_list() == loaded["validation"].to_list()
        assert load_from_disk(str(folder)).cache_files["train"]
    else:
        kind = "parquet" if form == "parquet" else "json"
        file = str(folder / f"train{file_suffix(form)}")
        assert len(load_dataset(kind, data_files=file, cache_dir=cache)["train"]) == manifest.rows["train"]


@pytest.mark.slow
def test_trl_trains_on_chat_prompt_and_completion_and_parquet_as_they_are(filled, tmp_path):
    import torch
    from datasets import load_dataset
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate([*alphabet, "</s>"])}, merges=[]))
    letters.pre_tokenizer, letters.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(vocab_size=257, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                      num_key_value_heads=1)
    )  # fmt: skip
    settings = SFTConfig(
        output_dir=str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=2, max_length=2048, report_to=[],
        save_strategy="no", use_cpu=True, dataloader_pin_memory=False, bf16=False,
        disable_tqdm=True, logging_strategy="no", eval_strategy="steps", eval_steps=1,
    )  # fmt: skip
    for form in ("chat", "prompt-completion", "parquet"):
        export_dataset(filled, tmp_path / form, form, SPLIT)
        rows = load_dataset(str(tmp_path / form), cache_dir=str(tmp_path / "cache"))
        trainer = SFTTrainer(
            model=model, args=settings, processing_class=tokenizer, train_dataset=rows["train"],
            eval_dataset=rows["validation"],
        )  # fmt: skip
        assert trainer.train().training_loss > 0
        masked = (trainer.data_collator([trainer.train_dataset[0]])["labels"] == -100).any()
        assert masked or form == "chat"  # with prompt and completion, the loss covers the completion only
