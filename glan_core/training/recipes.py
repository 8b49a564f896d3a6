"""Recipes: settings that belong together, under a name. Each number of them can be changed."""

from dataclasses import dataclass

PAPER_BASE = "mistralai/Mistral-7B-v0.1"
PAPER_WARMUP = 1000 / 58_600  # the paper's warm-up steps over those of its whole run, 3 epochs of 10 million pairs


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe: its name for people, what it is and what it needs, and the settings (of `FinetuneSettings`) that make it up."""

    label: str
    about: str
    values: dict


PAPER = {
    "base": PAPER_BASE, "method": "full", "epochs": 3.0, "learning_rate": 3e-6, "schedule": "cosine", "global_batch_size": 512,
    "per_device_batch_size": 8, "max_length": 2048, "precision": "auto",
}  # fmt: skip

RECIPES: dict[str, Recipe] = {
    "demo": Recipe(
        "Demo",
        "A tiny model made from nothing, on this machine's processor in some minutes. A recall machine: it knows the topics it was trained "
        "on and nothing else. Best on a snapshot of one discipline: some 40 to 60 key concepts.",
        {
            "base": None, "method": "full", "epochs": 4.0, "learning_rate": 3e-3, "warmup_ratio": 0.05, "schedule": "cosine",
            "global_batch_size": 2, "per_device_batch_size": 2, "max_length": 1024, "adam_beta2": 0.95, "precision": "auto", "evaluations": 6,
            "patience": 3, "keep_best": True,
        },
    ),
    "lora": Recipe(
        "LoRA",
        "An adapter of rank 16 to all linear layers of a base model that stays as it is. One GPU is enough for 7 billion "
        "parameters (QLoRA keeps the base in 4 bits and needs bitsandbytes).",
        {
            "base": PAPER_BASE, "method": "lora", "epochs": 3.0, "learning_rate": 2e-4, "warmup_ratio": 0.03,
            "schedule": "cosine", "global_batch_size": 64, "per_device_batch_size": 8, "max_length": 2048, "lora_rank": 16, "lora_alpha": 32,
            "precision": "auto", "keep_best": True,
        },
    ),
    "paper": Recipe(
        "Paper",
        "What the paper states: all weights of Mistral 7B, 3 epochs, peak learning rate 3e-6, 1,000 steps of linear warm-up, "
        "cosine to 0, 512 pairs a step, loss on the answer alone. Needs several large GPUs, and some 100,000 pairs.",
        {**PAPER, "warmup_steps": 1000},
    ),
    "paper-scaled": Recipe(
        "Paper, scaled",
        "The paper's settings in the shape of its schedule: warm-up is 1.7 % of the run, as there. For runs of less than a "
        "few thousand steps, which 1,000 steps of warm-up would swallow.",
        {**PAPER, "warmup_ratio": round(PAPER_WARMUP, 4)},
    ),
}  # fmt: skip
