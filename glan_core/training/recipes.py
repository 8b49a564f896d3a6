"""Recipes: named sets of training settings that can be overridden individually."""

from dataclasses import dataclass

from glan_core.io.packaged_models import SMOLLM2_NAME

SMALL_BASE = SMOLLM2_NAME
PAPER_BASE = "mistralai/Mistral-7B-v0.1"
PAPER_WARMUP = 1000 / 58_600  # the paper's warmup steps over its total steps (3 epochs of 10 million pairs)

PAPER_FEWEST_PAIRS = 10 * 1000 * 512 / 3  # 1,000 warmup steps are a tenth of 3 epochs at a batch size of 512


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe: display name, description with requirements, and its values for `FinetuneSettings`."""

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
        "A tiny model initialized from scratch and trained on the CPU in a few minutes. It recalls the topics it was trained on "
        "and nothing else. Works best on a snapshot of one discipline with 40 to 60 key concepts.",
        {
            "base": None, "method": "full", "epochs": 4.0, "learning_rate": 3e-3, "warmup_ratio": 0.05, "schedule": "cosine",
            "global_batch_size": 2, "per_device_batch_size": 2, "max_length": 1024, "adam_beta2": 0.95, "precision": "auto", "evaluations": 6,
            "patience": 3, "keep_best": True,
        },
    ),
    "lora-small": Recipe(
        "LoRA, small base",
        "A rank-16 adapter to SmolLM2-135M-Instruct, a real model that is installed with the studio and needs no GPU: about 45 minutes on 2 "
        "cores for 400 pairs. It answers in sentences of its own, beyond the topics that it was trained on.",
        {
            "base": SMALL_BASE, "method": "lora", "epochs": 3.0, "learning_rate": 1e-3, "warmup_ratio": 0.05, "schedule": "cosine",
            "global_batch_size": 8, "per_device_batch_size": 2, "max_length": 768, "lora_rank": 16, "lora_alpha": 32, "precision": "auto",
            "evaluations": 6, "keep_best": True,
        },
    ),
    "lora": Recipe(
        "LoRA",
        "A rank-16 adapter to all linear layers of a frozen base model. One GPU is enough for 7 billion parameters (QLoRA "
        "keeps the base in 4 bits and needs bitsandbytes).",
        {
            "base": PAPER_BASE, "method": "lora", "epochs": 3.0, "learning_rate": 2e-4, "warmup_ratio": 0.03,
            "schedule": "cosine", "global_batch_size": 64, "per_device_batch_size": 8, "max_length": 2048, "lora_rank": 16, "lora_alpha": 32,
            "precision": "auto", "keep_best": True,
        },
    ),
    "paper": Recipe(
        "Paper",
        "The settings of the paper: all weights of Mistral 7B, 3 epochs, peak learning rate 3e-6, 1,000 steps of linear warmup, "
        f"cosine to 0, global batch size 512, loss on the answer only. Needs several large GPUs. The schedule makes sense from about "
        f"{PAPER_FEWEST_PAIRS / 1e6:.1f} million pairs, where warmup is a tenth of the steps; 100,000 pairs are 586 steps, all of them warmup. "
        "For fewer pairs, use 'Paper, scaled'.",
        {**PAPER, "warmup_steps": 1000},
    ),
    "paper-scaled": Recipe(
        "Paper, scaled",
        "The settings of the paper with its warmup scaled to the length of the run (1.7%). For runs of up to a few thousand "
        "steps, in which 1,000 warmup steps would be too many.",
        {**PAPER, "warmup_ratio": round(PAPER_WARMUP, 4)},
    ),
}  # fmt: skip
