"""Stored models and fine-tuning runs for tests of their display."""

import json
import shutil
import socket
import time
from collections.abc import Iterable

from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import Checkpoint, TunedModel, checkpoint_folder
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace, run_rows, training_rows
from glan_core.workspace.run_rows import StageProgress
from glan_core.workspace.training_rows import SampleReply, Step

CURVE = [
    Step(n, n / 4, 1000 * n, 2.0 * n, 5.0 / n, 6.0 / n if n % 4 == 0 else None, 1e-3 * (1 - n / 16), 0.5, 400.0) for n in range(1, 9)
]  # fmt: skip
SAID = [
    SampleReply(step, nth, prompt, f"{prompt} At step {step}.")
    for step in (4, 8)
    for nth, prompt in enumerate(("Why?", "How?"))
]


def put_model(ws: Workspace, name: str, **values) -> TunedModel:
    """Store a model with dummy weights."""
    manifest = next(iter(list_snapshots(ws)), None)
    disciplines = {"mathematics": 30, "music": 20}
    model = TunedModel(**{
        "name": name, "form": "full", "base": "", "recipe": "demo", "snapshot": manifest.name if manifest else "gone",
        "snapshot_hash": manifest.hash if manifest else "sha256:0", "disciplines": disciplines, "rows": 50, "held_out": 5,
        "tokens": 12_000, "steps": 100, "epochs": 3.0, "seconds": 130.0, "losses": {"train": 0.61, "validation": 0.842},
        "parameters": 1_115_008, "trained_parameters": 1_115_008, "precision": "fp32", "template": "alpaca", "bytes": 0,
        "weights_hash": "", "run_id": None, "created_at": time.time() - 60,
        "settings": FinetuneSettings(name=name, snapshot="first").model_dump(mode="json"), **values,
    })  # fmt: skip
    weights = model.weights(ws)
    weights.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    content = len(header).to_bytes(8, "little") + header + name.encode()[:4].ljust(4)
    (weights / ("adapter_model.safetensors" if model.form == "adapter" else "model.safetensors")).write_bytes(content)
    (weights / "tokenizer.json").write_text("{}")
    model = model.model_copy(
        update={"bytes": tuned_model_store.folder_size(weights), "weights_hash": tuned_model_store.hash_weights(weights)}
    )
    tuned_model_store.write_model(ws, model)
    return model


def put_checkpoints(ws: Workspace, name: str, steps: Iterable[int] = (40, 80)) -> TunedModel:
    """Store checkpoints with dummy weights for a stored model."""
    model, kept = tuned_model_store.read_model(ws, name), []
    for step in steps:
        folder = checkpoint_folder(ws, name, step)
        shutil.copytree(model.weights(ws), folder)
        (folder / "tokenizer.json").write_text(f'{{"step": {step}}}')
        kept.append(Checkpoint(
            step=step, validation_loss=100 / step, bytes=tuned_model_store.folder_size(folder), weights_hash=f"sha256:{step:012}"
        ))  # fmt: skip
    model = model.model_copy(update={"checkpoints": tuple(kept)})
    tuned_model_store.write_model(ws, model)
    return model


def add_training(
    ws: Workspace, state: str, name: str, *, steps=CURVE, replies=SAID, recipe: str = "demo", settings=None, **values
) -> int:
    """Store a fine-tuning run and return its ID; 'lost' has state running without a heartbeat."""
    now = time.time()
    settings = FinetuneSettings(
        **RECIPES[recipe].values | {"name": name, "snapshot": "first", "recipe": recipe} | (settings or {})
    )
    gone = {"heartbeat_at": now - 5000} if state == "lost" else {}
    live = state in (*run_rows.LIVE, "lost")
    with ws.write() as db:
        id = run_rows.add_run(db, "finetune", f"Fine-tune {name}", settings.model_dump(mode="json"))
        run_rows.update_run(db, id, **{
            "state": "running" if state == "lost" else state, "started_at": now - 100, "heartbeat_at": now,
            "finished_at": None if live else now - 20, "host": socket.gethostname(), **gone, **values,
        })  # fmt: skip
        run_rows.set_stage(db, id, StageProgress("steps", 16, steps[-1].step if steps else 0, 0))
        training_rows.add_steps(db, id, steps)
        training_rows.add_replies(db, id, replies)
    return id
