"""Fixtures for contamination tests: a benchmark with two splits and a model that memorized one."""

import json
import random
from pathlib import Path

import pytest
from support.chat_models import make_base

WORDS = ("amber", "birch", "coral", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "karst", "larch")


def make_rows(number: int, seed: int) -> list[dict]:
    """Return questions with arbitrary answers."""
    rng = random.Random(seed)
    return [
        {"question": f"Code of {rng.choice(WORDS)} {rng.randrange(1000)}?", "answer": "".join(rng.choices("abcdefgh", k=8))}
        for _ in range(number)
    ]


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def learn(base: Path, folder: Path, rows: list[dict], steps: int = 80) -> Path:
    """Train the base on rows as plain text until it has memorized them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # synchronization takes longer than such small products
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), AutoTokenizer.from_pretrained(base)
    encoded = [tokenizer(f"{row['question']}\n{row['answer']}")["input_ids"] for row in rows]
    longest = max(map(len, encoded))
    ids = torch.tensor([one + [256] * (longest - len(one)) for one in encoded])
    labels = ids.masked_fill(ids == 256, -100)
    torch.manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=6e-3)
    model.train()
    for _ in range(steps):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    torch.set_num_threads(threads)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def probed(tmp_path_factory):
    """A folder with train.jsonl, test.jsonl and alike.jsonl, the base 'fresh', the model 'crammed' that learned the training
    split by heart, and 'other', which learned rows of neither split."""
    folder = tmp_path_factory.mktemp("probed")
    train = make_rows(32, 1)
    write_rows(folder / "train.jsonl", train)
    write_rows(folder / "test.jsonl", make_rows(32, 2))
    write_rows(folder / "alike.jsonl", make_rows(32, 5))
    make_base(folder / "fresh", seed=5)
    learn(folder / "fresh", folder / "crammed", train)
    learn(folder / "fresh", folder / "other", make_rows(32, 4))
    return folder
