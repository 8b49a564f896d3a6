"""Tokens per CPU-second of fine-tuning: `python benchmarks/training.py [--rows 160] [--recipes demo,lora]`.

Ours (glan_core.training.finetune_job as a run on a workspace), bare TRL (SFTTrainer with its defaults for prompt-completion rows, padded, fp32, no
gradient checkpointing) and a bare torch loop (AdamW on shuffled, padded batches): the same weights, rows and batch size, one epoch, each in its own
process with passive waiting. Padding tokens are not counted; CPU time (user and system, getrusage) is from the first to the last step, with the
run's log and one checkpoint, without imports, encoding and evaluation.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from glan_core import runs
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.operations import demo_workspace
from glan_core.training.chat_encoding import open_encoder
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings, Scratch
from glan_core.training.training_texts import RowSample, TokenCounts, encoded_rows, training_texts
from glan_core.workspace import Workspace

SNAPSHOT, MAX_LENGTH = "all", 1024
BASE = Scratch(vocabulary=4096, hidden=256, inner=768, layers=4, heads=8)  # 4 million parameters
BATCH = {"demo": 2, "lora": 8}
CONTENDERS = {"ours": "GLAN, a run on a workspace", "trl": "bare TRL", "loop": "bare torch loop"}
SPENT: dict[str, float] = {}


def make(folder: Path, rows: int) -> None:
    """Create a workspace with a snapshot of scripted pairs, and the initial weights for each recipe."""
    from glan_core.training import tiny_model

    ws = demo_workspace.create_workspace(folder / "ws")
    target = {"disciplines": ["mathematics", "earth-science", "music"], "subject_queries": 1, "questions_per_syllabus": 14}
    for kind, settings in (("generate", {"target": target}), ("snapshot", {"name": SNAPSHOT, "split": "none"})):
        run = runs.work(ws, runs.submit(ws, kind, "benchmark", settings))
        assert run.state == "finished", run.message
    texts = list(training_texts(read_snapshot(ws, SNAPSHOT), rows, 0))
    for recipe, size in (("demo", Scratch()), ("lora", BASE)):
        tokenizer = tiny_model.wrap_tokenizer(tiny_model.train_tokenizer(texts, size.vocabulary))
        tiny_model.make_model(size, len(tokenizer), 0).save_pretrained(folder / recipe)
        tokenizer.save_pretrained(folder / recipe)


def recipe_settings(folder: Path, recipe: str, rows: int) -> FinetuneSettings:
    """Return the recipe's settings on the benchmark's rows: one epoch, one evaluation, one checkpoint."""
    batch = BATCH[recipe]
    values = {"name": f"bench-{recipe}", "snapshot": SNAPSHOT, "recipe": recipe, "rows": rows, "epochs": 1, "global_batch_size": batch,
              "per_device_batch_size": batch, "max_length": MAX_LENGTH, "precision": "fp32", "evaluations": 1, "keep_best": False,
              "patience": None, "prompts": ("Why?",)}  # fmt: skip
    return FinetuneSettings(**RECIPES[recipe].values | values | ({} if recipe == "demo" else {"base": str(folder / recipe)}))


def timed(work: Callable) -> Callable:
    """Wrap a function so that its CPU and wall seconds are stored in `SPENT`."""

    def measured(*args: object, **kwargs: object) -> object:
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        result = work(*args, **kwargs)
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        SPENT.update(cpu=cpu, wall=time.perf_counter() - begun)
        return result

    return measured


def ours(folder: Path, recipe: str, rows: int) -> int:
    """Run fine-tuning as the studio does; return the number of tokens."""
    from glan_core.models import tuned_model_store
    from glan_core.training.trainer import SnapshotTrainer

    SnapshotTrainer.train = timed(SnapshotTrainer.train)
    ws = Workspace.open(folder / "ws")
    settings = recipe_settings(folder, recipe, rows)
    run = runs.work(ws, runs.submit(ws, "finetune", "benchmark", settings.model_dump(mode="json")))
    assert run.state == "finished", run.message
    return tuned_model_store.read_model(ws, settings.name).tokens


def loaded(folder: Path, recipe: str, rows: int) -> tuple:
    """Return the weights, the tokenizer, and the rows as text and as tokens with labels."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    snapshot, encoder = read_snapshot(Workspace.open(folder / "ws"), SNAPSHOT), open_encoder(str(folder / recipe))
    tokens = list(encoded_rows(RowSample(snapshot, "train", rows), encoder, MAX_LENGTH, TokenCounts()))
    texts = list(training_texts(snapshot, rows, 0))
    prompts = [encoder.write([{"role": "user", "content": question}], ask=True) for question in texts[::2]]
    written = [{"prompt": p, "completion": a.strip() + encoder.end} for p, a in zip(prompts, texts[1::2], strict=True)]
    return (
        AutoModelForCausalLM.from_pretrained(folder / recipe),
        AutoTokenizer.from_pretrained(folder / recipe),
        written,
        tokens,
    )


def adapter(settings: FinetuneSettings):
    """Return the adapter configuration of the recipe."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def trl(folder: Path, recipe: str, rows: int) -> int:
    """Train with SFTTrainer as in its documentation."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    settings = recipe_settings(folder, recipe, rows)
    model, tokenizer, written, _ = loaded(folder, recipe, rows)
    settings = SFTConfig(
        output_dir=str(folder / "trl"), num_train_epochs=1, per_device_train_batch_size=settings.global_batch_size,
        learning_rate=settings.learning_rate,
        max_length=MAX_LENGTH, gradient_checkpointing=False, bf16=False, use_cpu=True, report_to=[], save_strategy="no",
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model, args=settings, train_dataset=Dataset.from_list(written), processing_class=tokenizer,
        peft_config=adapter(settings) if settings.method == "lora" else None,
    )  # fmt: skip
    timed(trainer.train)()
    return sum(map(len, trainer.train_dataset["input_ids"]))


def loop(folder: Path, recipe: str, rows: int) -> int:
    """Train with a minimal loop."""
    import torch

    settings = recipe_settings(folder, recipe, rows)
    model, tokenizer, _, tokens = loaded(folder, recipe, rows)
    if settings.method == "lora":
        from peft import get_peft_model

        model = get_peft_model(model, adapter(settings))
    random.Random(0).shuffle(tokens)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=settings.learning_rate)

    def train() -> None:
        model.train()
        for at in range(0, len(tokens), settings.global_batch_size):
            batch = tokens[at : at + settings.global_batch_size]
            longest = max(len(row["input_ids"]) for row in batch)

            def padded(name: str, fill: int, batch=batch, longest=longest) -> torch.Tensor:
                return torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in batch])

            ids, labels = padded("input_ids", tokenizer.pad_token_id), padded("labels", -100)
            mask = torch.tensor([[n < len(row["input_ids"]) for n in range(longest)] for row in batch]).long()
            model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    timed(train)()
    return sum(len(row["input_ids"]) for row in tokens)


def main() -> None:
    """Measure every contender and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--recipes", default="demo,lora")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        contender, recipe, folder = args.one
        tokens = {"ours": ours, "trl": trl, "loop": loop}[contender](Path(folder), recipe, args.rows)
        print(json.dumps({"tokens": tokens, **SPENT}))
        return
    print("| recipe | contender | tokens | CPU s | wall s | tokens per CPU-second | of the better bare one |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch), args.rows)
        for recipe in args.recipes.split(","):
            found = {}
            for _ in range(args.rounds):
                for contender in CONTENDERS:
                    said = measure(contender, recipe, scratch, args.rows)
                    if contender not in found or said["cpu"] < found[contender]["cpu"]:
                        found[contender] = said
            pace = {contender: said["tokens"] / said["cpu"] for contender, said in found.items()}
            better = max(pace["trl"], pace["loop"])
            for contender, said in found.items():
                print(f"| {recipe} | {CONTENDERS[contender]} | {said['tokens']:,} | {said['cpu']:.1f} | {said['wall']:.1f} | "
                      f"{pace[contender]:,.0f} | {pace[contender] / better:.2f} |", flush=True)  # fmt: skip


def measure(contender: str, recipe: str, folder: str, rows: int) -> dict:
    """Measure one contender in its own process."""
    words = [sys.executable, __file__, "--rows", str(rows), "--one", contender, recipe, folder]
    with tempfile.TemporaryDirectory() as copied:  # a run of an earlier round left its model
        subprocess.run(["cp", "-r", f"{folder}/.", copied], check=True)
        words[-1] = copied
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"},
        )
    if done.returncode:
        sys.exit(f"{contender} {recipe} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
