"""Recipe values scaled to the base model, the rows and the device: the defaults of the form and of `glan finetune`.

The recipes state what suits one GPU and seven billion parameters. On a laptop the same values of LoRA ask for 14 GB and hours for
a model of 135 million parameters, which 80 rows, one epoch, batches of 4 and a learning rate of 1e-3 adapt in ten minutes.
"""

from dataclasses import dataclass

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.dataset.splits import TRAIN
from glan_core.formatting import plural, short
from glan_core.processes import cores, total_memory
from glan_core.settings import read_settings
from glan_core.training.memory_estimate import estimate_memory, gpus
from glan_core.training.model_shape import ModelShape, base_shape
from glan_core.training.plan import count_rows, longest_row
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace

SCALED = ("epochs", "learning_rate", "global_batch_size", "per_device_batch_size", "max_length", "evaluations")
LARGEST = 4_000_000_000  # parameters of a base that is worth training on a CPU
LEARNING_RATES = ((300_000_000, 1e-3), (1_000_000_000, 5e-4), (LARGEST, 2e-4))  # of an adapter, by parameters of the base
FEWEST_STEPS = 20
CPU_SECONDS = 3600.0  # of training that the default number of epochs takes at most
CORE_FLOPS = 38e9  # per second and core, measured with LoRA of SmolLM2-135M
MEMORY_SHARE = 1 / 3  # of the machine's memory for the default per-device batch size
MAX_LENGTHS = (1024, 512)


@dataclass(frozen=True, slots=True)
class ScaledRecipe:
    """Values of a recipe for a base model and a snapshot.

    Attributes:
        values: Values for `FinetuneSettings`.
        reason: One sentence on what they were scaled to; '' if they are the recipe's own.
    """

    values: dict
    reason: str = ""


def scaled_recipe(ws: Workspace, recipe: str, snapshot: str, base: str | None = None) -> ScaledRecipe:
    """Return the values of a recipe, those of LoRA scaled to the base model, the rows of the snapshot and this machine.

    Args:
        ws: Workspace.
        recipe: Name of the recipe.
        snapshot: Name of the snapshot.
        base: Base model; None for that of the recipe.

    Raises:
        GlanError: If the snapshot does not exist or the tokenizer cannot be read.
    """
    values = dict(RECIPES[recipe].values)
    if base and values["base"] is not None:
        values["base"] = base
    shape = base_shape(values["base"]) if recipe == "lora" else None
    if shape is None or gpus() or shape.parameters > LARGEST:
        return ScaledRecipe(values)
    settings = read_settings(FinetuneSettings, values | {"name": "x", "snapshot": snapshot, "recipe": recipe})
    rows = read_snapshot(ws, snapshot).manifest.rows.get(TRAIN, 0)
    counted, _ = count_rows(str(ws.folder), settings)
    number = max(1, counted.rows)
    scaled = _cpu_values(shape, settings, rows=rows, tokens=counted.tokens / number, longest=longest_row(settings, counted))
    size = f"{short(shape.parameters)} parameters"
    return ScaledRecipe(values | scaled, f"Scaled to {size}, {plural(rows, 'pair')} and {plural(cores(), 'CPU core')}.")


def _cpu_values(shape: ModelShape, settings: FinetuneSettings, *, rows: int, tokens: float, longest: int) -> dict:
    """Return the scaled values for training on a CPU, whose speed does not depend on the batch size."""
    batch = 4
    epochs = float(min(3, max(1, -(-FEWEST_STEPS * batch // max(1, rows)))))
    seconds = 4.2 * shape.parameters * tokens * rows / (CORE_FLOPS * cores())  # of an epoch; 4.2 FLOPs: frozen weights
    if epochs * seconds > CPU_SECONDS:
        epochs = max(round(CPU_SECONDS / seconds, 2), round(FEWEST_STEPS * batch / max(1, rows), 2), 0.01)
    values = {
        "epochs": epochs, "global_batch_size": batch, "evaluations": 4,
        "learning_rate": next(rate for most, rate in LEARNING_RATES if shape.parameters <= most),
    }  # fmt: skip
    for length in MAX_LENGTHS:
        for size in (2, 1):
            small = {"per_device_batch_size": size, "max_length": length}
            need = estimate_memory(settings.model_copy(update=values | small), shape, min(longest, length))
            if need.bytes <= MEMORY_SHARE * total_memory():
                return values | small
    return values | {"per_device_batch_size": 1, "max_length": MAX_LENGTHS[-1]}
