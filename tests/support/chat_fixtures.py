"""Fixtures for chat tests; enable them with `pytest_plugins = ["support.chat_fixtures"]`."""

import pytest
from support.chat_models import make_base, make_full, make_tuned

from glan_core.models import server_client
from glan_core.workspace import Workspace


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Runtime folder of the test module, so that it has a model server of its own."""
    folder = tmp_path_factory.mktemp("runtime")
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLAN_RUNTIME", str(folder))
        server_client.release()


@pytest.fixture
def talking(runtime, monkeypatch):
    """Model server of the test module, started on first use."""
    monkeypatch.setenv("GLAN_RUNTIME", str(runtime))
    return runtime


@pytest.fixture(scope="module")
def chat_base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def models_ws(tmp_path_factory, chat_base):
    """Workspace with an adapter 'tuned' and a full model 'whole'."""
    ws = Workspace.create(tmp_path_factory.mktemp("models") / "ws")
    make_tuned(ws, chat_base)
    make_full(ws)
    yield ws
    ws.close()
