"""Packaged models: found without importing their packages, refused if changed, named without paths of this machine."""

import hashlib
import json
import sys

import pytest
from support.training_fixtures import tiny_order

from glan_core.errors import GlanError
from glan_core.io import packaged_models
from glan_core.io.packaged_models import SMOLLM2_NAME, PackagedFile, convert, is_converted, local_place, name_base_in
from glan_core.models.model_specs import model_title, packaged_specs, resolve_model
from glan_core.models.weights_cache import ModelUnavailable, find_weights
from glan_core.training import preflight
from glan_core.training.chat_encoding import find_model_file
from glan_core.training.settings import FinetuneSettings

pytest_plugins = ["support.training_fixtures"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the import path that must not be imported, with one file."""
    (tmp_path / "boobytrapped").mkdir()
    (tmp_path / "boobytrapped" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "boobytrapped" / "data.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("GLAN_PACKAGED_MODELS")
    return PackagedFile("boobytrapped", "data.bin", hashlib.sha256(b"weights").hexdigest())


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GLAN_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_is_found_and_checked_without_importing_its_package(package, tmp_path):
    assert package.verified() == tmp_path / "boobytrapped" / "data.bin" and "boobytrapped" not in sys.modules
    assert PackagedFile("no_such_package_here", "x", "").verified() is None
    assert PackagedFile("boobytrapped", "missing.bin", "").verified() is None
    (tmp_path / "boobytrapped" / "data.bin").write_bytes(b"other")
    with pytest.raises(GlanError, match=r"not the known file.*--require-hashes"):
        PackagedFile("boobytrapped", "data.bin", package.sha256).verified()


def test_the_switch_hides_installed_packages(package, monkeypatch):
    monkeypatch.setenv("GLAN_PACKAGED_MODELS", "off")
    assert package.find() is None and packaged_models.available_bases() == packaged_specs() == []


def test_a_base_that_is_not_installed_is_explained_everywhere(taught):
    assert not is_converted(SMOLLM2_NAME) and find_model_file(SMOLLM2_NAME, "config.json") is None
    with pytest.raises(GlanError, match="Install it with"):
        convert(SMOLLM2_NAME)
    with pytest.raises(ModelUnavailable, match="Install it with"):
        find_weights(SMOLLM2_NAME)
    settings = FinetuneSettings(**tiny_order("x", base=SMOLLM2_NAME, method="lora"))
    assert "Install it with" in preflight.find_obstacle(taught, settings)
    with pytest.raises(GlanError, match="no packaged base model"):
        convert("packaged:other")
    assert convert("owner/name") is None, "other names are no packages"


def test_names_have_neither_prefix_nor_path(ws):
    spec = f"local:{SMOLLM2_NAME}"
    assert resolve_model(ws, spec).base == SMOLLM2_NAME and model_title(spec) == "SmolLM2-135M-Instruct-Q4_1-dequantized"


def test_an_adapter_names_its_packaged_base_and_not_a_folder_of_this_machine(tmp_path):
    file = tmp_path / "adapter_config.json"
    for before, after in ((local_place(SMOLLM2_NAME), SMOLLM2_NAME), ("/other/folder", "/other/folder")):
        file.write_text(json.dumps({"base_model_name_or_path": before, "r": 16}))
        name_base_in(tmp_path)
        assert json.loads(file.read_text()) == {"base_model_name_or_path": after, "r": 16}
    name_base_in(tmp_path / "none")


def test_a_converted_base_is_found_by_its_name(cache_home):
    folder = cache_home / "models" / "SmolLM2-135M-Instruct-Q4_1-dequantized"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    assert (
        is_converted(SMOLLM2_NAME)
        and find_weights(SMOLLM2_NAME) == folder == find_model_file(SMOLLM2_NAME, "config.json").parent
    )
