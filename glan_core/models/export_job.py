"""Model export: writes a tuned model with its card to a folder, as safetensors or GGUF, or uploads it to the Hub."""

import json
import shutil
import tempfile
from pathlib import Path

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.io import hub, packaged_models
from glan_core.io.atomic import atomic_output
from glan_core.models import tuned_model_store
from glan_core.models.gguf_file import GgufType, check_architecture, write_gguf
from glan_core.models.merge_job import save_merged
from glan_core.models.model_card import model_card
from glan_core.models.ollama_modelfile import modelfile
from glan_core.models.settings import ModelExportSettings
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace
from glan_core.workspace.output_paths import check_output

MODELFILE = "Modelfile"


def export_model(ws: Workspace, settings: ModelExportSettings, progress: Progress) -> str:
    """Export a model to a folder, to the Hub, or both.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If the folder exists or cannot be written, the Hub rejects the upload, or no destination is set.
    """
    model = tuned_model_store.read_model(ws, settings.model)
    if settings.gguf:
        check_gguf_export(ws, model)
    messages = []
    if settings.path:
        target = Path(settings.path).expanduser()
        check_target(ws, target)
        progress.step("model copied", 0, 1)
        with atomic_output(target, folder=True, mark=progress.run_id) as new:
            _write(ws, model, new, settings)
        messages.append(f"Wrote {model.name} to {target}.")
        if settings.gguf:
            messages.append(
                f"Run it with 'ollama create {model.name} -f {target / MODELFILE}', or 'llama-server -m {target / f'{model.name}.gguf'}'."
            )
    if settings.repo:
        hub.check_login()
        progress.step("model uploaded", 0, 1)
        with tempfile.TemporaryDirectory(prefix="glan-hub-", dir=ws.folder) as scratch:
            _write(ws, model, Path(scratch), settings)
            _remove_local_paths(model, Path(scratch))
            address = hub.push(Path(scratch), settings.repo, private=settings.private, title=model.name, kind="model")
        messages.append(f"Uploaded {model.name} to {address}.")
    if not messages:
        raise GlanError("No destination given. Set a folder (path), a Hub model (repo), or both.")
    return " ".join(messages)


def check_target(ws: Workspace, target: Path) -> None:
    """Check that a model may be exported to a folder.

    Raises:
        GlanError: If the folder exists, its parent does not, or it lies among the files of a workspace.
    """
    if target.exists() or not target.parent.is_dir():
        raise GlanError(f"{target} cannot be written. Choose a new folder in an existing one.")
    check_output(ws, target)


def check_gguf_export(ws: Workspace, model: TunedModel) -> None:
    """Check that a model can be exported as GGUF, as far as its configuration says.

    Raises:
        GlanError: If the architecture is not supported.
    """
    place = model.weights(ws) if model.form == "full" else Path(packaged_models.local_place(model.base)).expanduser()
    try:
        check_architecture(str(json.loads((place / "config.json").read_text("utf-8")).get("model_type")))
    except (OSError, ValueError):  # a base model of the Hub, or a damaged file: known when it is loaded
        return


def _write(ws: Workspace, model: TunedModel, folder: Path, settings: ModelExportSettings) -> None:
    if settings.gguf:
        write_gguf_folder(ws, model, folder, settings.gguf, settings.license)
    else:
        write_model_folder(ws, model, folder, settings.license)


def write_model_folder(ws: Workspace, model: TunedModel, folder: Path, license: str | None = None) -> None:
    """Write weights, tokenizer and card of a model to an existing folder."""
    shutil.copytree(model.weights(ws), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md"))
    _write_card(ws, model, folder, license)


def write_gguf_folder(ws: Workspace, model: TunedModel, folder: Path, kind: GgufType, license: str | None = None) -> None:
    """Write a model as a GGUF file with its Modelfile and card to an existing folder; an adapter is merged into its base."""
    from transformers import AutoTokenizer

    file = folder / f"{model.name}.gguf"
    with tempfile.TemporaryDirectory(prefix=".merged-", dir=folder) as scratch:
        whole = model.weights(ws)
        if model.form == "adapter":
            save_merged(ws, model, whole := Path(scratch))
        write_gguf(whole, file, kind, model.name)
        tokenizer = AutoTokenizer.from_pretrained(whole, trust_remote_code=False)
    (folder / MODELFILE).write_text(modelfile(tokenizer, file.name), "utf-8")
    _write_card(ws, model, folder, license, gguf=file.name)


def _write_card(ws: Workspace, model: TunedModel, folder: Path, license: str | None, gguf: str = "") -> None:
    try:
        manifest = read_snapshot(ws, model.snapshot).manifest
    except GlanError:
        manifest = None
    (folder / "README.md").write_text(model_card(model, manifest, license, gguf), "utf-8")


def _remove_local_paths(model: TunedModel, folder: Path) -> None:
    """Replace the local path of an adapter's base model by its name."""
    file = folder / "adapter_config.json"
    if file.exists():
        config = json.loads(file.read_text("utf-8")) | {"base_model_name_or_path": model.base_name}
        file.write_text(json.dumps(config, indent=2), "utf-8")
