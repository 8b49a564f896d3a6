"""Taking a tuned model away: to a folder, or to the Hugging Face Hub; weights, tokenizer and a card."""

import json
import shutil
import tempfile
from pathlib import Path

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.io import hub
from glan_core.io.atomic import atomic_output
from glan_core.models import tuned_model_store
from glan_core.models.model_card import model_card
from glan_core.models.settings import ModelExportSettings
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace
from glan_core.workspace.output_paths import check_output


def export_model(ws: Workspace, settings: ModelExportSettings, progress: Progress) -> str:
    """Copy a model to a folder, send it to the Hub, or both; what was done, in a sentence. GlanError when the folder is there
    already or can't be written, or the Hub does not take it."""
    model = tuned_model_store.read_model(ws, settings.model)
    said = []
    if settings.path:
        target = Path(settings.path).expanduser()
        check_target(ws, target)
        progress.step("model copied", 0, 1)
        with atomic_output(target, folder=True, mark=progress.run_id) as new:
            write_model_folder(ws, model, new, settings.license)
        said.append(f"Wrote {model.name} to {target}.")
    if settings.repo:
        hub.check_login()
        progress.step("model sent", 0, 1)
        with tempfile.TemporaryDirectory(prefix="glan-hub-", dir=ws.folder) as scratch:
            write_model_folder(ws, model, Path(scratch), settings.license)
            _forget_place(model, Path(scratch))
            address = hub.push(Path(scratch), settings.repo, private=settings.private, title=model.name, kind="model")
        said.append(f"Sent {model.name} to {address}.")
    if not said:
        raise GlanError("Say where the model is to go: a folder, the Hub, or both.")
    return " ".join(said)


def check_target(ws: Workspace, target: Path) -> None:
    """Make sure that a model may be copied to a folder. GlanError when it exists, or lies among a workspace's own files."""
    if target.exists() or not target.parent.is_dir():
        raise GlanError(f"{target} can't be written: name a new folder in one that exists.")
    check_output(ws, target)


def write_model_folder(ws: Workspace, model: TunedModel, folder: Path, license: str | None = None) -> None:
    """Put weights, tokenizer and card of a model into a folder that is there."""
    try:
        manifest = read_snapshot(ws, model.snapshot).manifest
    except GlanError:
        manifest = None
    shutil.copytree(model.weights(ws), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md"))
    (folder / "README.md").write_text(model_card(model, manifest, license), "utf-8")


def _forget_place(model: TunedModel, folder: Path) -> None:
    """Name an adapter's base as others may read it: where it lies on this machine is of no use to them."""
    file = folder / "adapter_config.json"
    if file.exists():
        config = json.loads(file.read_text("utf-8")) | {"base_model_name_or_path": model.base_name}
        file.write_text(json.dumps(config, indent=2), "utf-8")
