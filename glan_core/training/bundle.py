"""Bundle: a folder with everything that a fine-tuning run needs, to train on a machine without the workspace.

The folder contains:

bundle.json   manifest: what the bundle is made from, and the SHA-256 of every file; its ID is the hash of its content
settings.json settings of the run
snapshot/     rows and manifest of the snapshot
base/         weights and tokenizer of the base model, if they are included
README.md     the one command
work/         workspace of the training, with its checkpoints; removed when the result is complete
result/       model, curves, sample replies, and a manifest with the SHA-256 of every file
"""

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from glan_core import __version__
from glan_core.errors import GlanError
from glan_core.settings import Settings
from glan_core.training.bundle_files import HASH, check_files, is_plain_path, read_document
from glan_core.training.settings import FinetuneSettings

FILE, SETTINGS, README = "bundle.json", "settings.json", "README.md"
SNAPSHOT, BASE, WORK, RESULT = "snapshot", "base", "work", "result"
MANIFEST, STEPS, REPLIES = "manifest.json", "steps.jsonl", "replies.jsonl"  # of a result, beside the description of its model
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors", "pyarrow")
# Settings that suit a machine rather than the experiment: the other machine may change them.
MACHINE = (
    "base",
    "processes",
    "nodes",
    "main_address",
    "engine",
    "ray_address",
    "per_device_batch_size",
    "gradient_checkpointing",
    "precision",
)


class _Versions(Settings):
    """What a folder was written with, and the hashes of its files."""

    format: Literal[1] = 1
    glan_version: str = Field(max_length=100)
    python: str = Field(max_length=100)
    packages: dict[str, str]
    files: dict[str, str]

    @field_validator("files")
    @classmethod
    def _files(cls, value: dict[str, str]) -> dict[str, str]:
        for path, digest in value.items():
            if not is_plain_path(path):
                raise ValueError(f"{path!a} is not the path of a file inside the folder")
            if not HASH.fullmatch(digest):
                raise ValueError(f"{path} has no SHA-256")
        return value


class BaseReference(Settings):
    """The base model of a bundle.

    Attributes:
        name: Folder, Hub ID or packaged name on the machine that wrote the bundle.
        weights_hash: 'sha256:…' of its weights (`tuned_model_store.hash_weights`), '' if they were not stored there.
        tokenizer_hash: SHA-256 of tokenizer.json, '' if it was not stored there.
        included: Whether the bundle contains it.
    """

    name: str = Field(max_length=4096)
    weights_hash: str = ""
    tokenizer_hash: str = ""
    included: bool = False


class Bundle(_Versions):
    """Manifest of a bundle.

    Attributes:
        id: Hash of all other values (`bundle_id`), so that it also stands for the content of every file.
        workspace: Name of the workspace it was written from.
        snapshot: Name of its snapshot.
        snapshot_hash: Content hash of its snapshot.
        base: Base model, None for a model initialized from scratch.
        files: SHA-256 of every file by path.
    """

    id: str
    created_at: float
    workspace: str
    snapshot: str
    snapshot_hash: str
    base: BaseReference | None


class BundleResult(_Versions):
    """Manifest of the result of a bundle.

    Attributes:
        bundle: ID of the bundle.
        host: Name of the machine it was trained on.
        devices: GPUs of that machine.
        base_hash: 'sha256:…' of the base weights that were trained, '' for a model initialized from scratch.
        files: SHA-256 of every file of the result by path.
    """

    bundle: str
    host: str = Field(max_length=300)
    devices: tuple[Annotated[str, Field(max_length=300)], ...] = Field(max_length=64)
    started_at: float = Field(ge=0, lt=2**40)
    finished_at: float = Field(ge=0, lt=2**40)
    base_hash: str = ""


def versions() -> dict:
    """Return the versions of GLAN Studio, Python and the libraries that training uses, as values of a manifest."""
    return {"glan_version": __version__, "python": platform.python_version(), "packages": _package_versions()}


def _package_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def bundle_id(values: dict) -> str:
    """Return the ID of a manifest: the first 32 hexadecimal digits of the SHA-256 of its values without the ID."""
    content = {name: value for name, value in values.items() if name != "id"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def read_bundle(folder: Path) -> tuple[Bundle, FinetuneSettings]:
    """Return the manifest and the settings of a bundle; rows and base model are not checked.

    Raises:
        GlanError: If the folder is no bundle, or manifest or settings were changed.
    """
    if not folder.is_dir():
        raise GlanError(f"{folder} is not a folder. Give the folder of a bundle that 'glan bundle' wrote.")
    if not (folder / FILE).is_file():
        raise GlanError(f"{folder} has no {FILE}, so it is not a bundle. Write one with 'glan bundle DIR --out FOLDER'.")
    bundle = read_document(folder / FILE, Bundle)
    if bundle_id(bundle.model_dump(mode="json")) != bundle.id:
        raise GlanError(f"{folder / FILE} was changed after it was written: its ID differs. Copy the bundle again.")
    if SETTINGS not in bundle.files:
        raise GlanError(f"{folder / FILE} does not list {SETTINGS}. Write the bundle again.")
    check_files(folder, {SETTINGS: bundle.files[SETTINGS]})
    settings = read_document(folder / SETTINGS, FinetuneSettings)
    if settings.snapshot != bundle.snapshot or (settings.base or "") != (bundle.base.name if bundle.base else ""):
        raise GlanError(f"{FILE} and {SETTINGS} of {folder} name different snapshots or base models. Write the bundle again.")
    return bundle, settings


def verify_bundle(folder: Path) -> tuple[Bundle, FinetuneSettings]:
    """Return the manifest and the settings of a bundle after checking the hash of every file.

    Raises:
        GlanError: If the folder is no bundle or a file is missing or was changed; the message names it.
    """
    bundle, settings = read_bundle(folder)
    check_files(folder, bundle.files)
    return bundle, settings
