"""Names of stored records cannot lead out of their folder, whatever reads or removes them."""

import io

import pytest

from glan_core.dataset import glan_test_store, snapshot_store
from glan_core.diversity import comparison_store, vector_store
from glan_core.errors import GlanError
from glan_core.generation import preview
from glan_core.models import tuned_model_store

OUTSIDE = ("..", "../victim", "/victim", "a/../../victim", "victim/..", ".", "")


@pytest.fixture
def victim(ws):
    """A folder and files next to the folders of the stores."""
    stores = (snapshot_store, tuned_model_store, glan_test_store, comparison_store)
    for name in ("victim", "previews", *(store.FOLDER for store in stores)):
        (ws.folder / name).mkdir(exist_ok=True)
    (ws.folder / "victim" / "manifest.json").write_text("{}")
    (ws.folder / "victim.jsonl").write_text("{}")
    before = sorted(str(path) for path in ws.folder.rglob("*") if "sqlite" not in path.name)
    yield ws.folder
    assert sorted(str(path) for path in ws.folder.rglob("*") if "sqlite" not in path.name) == before


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("use", [
    snapshot_store.read_snapshot, snapshot_store.remove_snapshot, tuned_model_store.model_folder, tuned_model_store.read_model,
    tuned_model_store.remove_model, glan_test_store.test_path, glan_test_store.read_test, glan_test_store.remove_test,
    preview.discard,
])  # fmt: skip
def test_a_name_with_a_path_is_refused(ws, victim, use, name):
    with pytest.raises(GlanError):
        use(ws, name)
    assert (victim / "victim" / "manifest.json").is_file()


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_of_comparisons_and_embedders_become_one_folder_name(ws, victim, name):
    for folder, root in ((comparison_store.comparison_folder(ws, name), comparison_store.FOLDER),
                         (vector_store.vector_folder(ws, name), vector_store.FOLDER)):  # fmt: skip
        assert folder.parent == ws.folder / root and folder.name not in ("", ".", "..")
    comparison_store.remove_comparison(ws, name)


@pytest.mark.parametrize("name", OUTSIDE[:-1])
def test_an_imported_test_cannot_choose_a_path(ws, victim, name):
    head = f'{{"name": "{name}", "hash": "sha256:0", "number": 0, "disciplines": {{}}, "source": "", "created_at": 0}}\n'
    with pytest.raises(GlanError):
        glan_test_store.import_test(ws, io.BytesIO(head.encode()))
    with pytest.raises(GlanError):
        glan_test_store.import_test(ws, io.BytesIO(b'{"instruction": "Sing."}\n'), name)
