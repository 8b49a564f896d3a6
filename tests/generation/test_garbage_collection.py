"""Garbage collections are rare during runs; the settings of the process are restored after the last run, however it ends."""

import gc

import pytest
from support.runs import Canned, execute_run

from glan_core.generation.run import GARBAGE_OBJECTS, _rare_garbage_collection


@pytest.fixture(autouse=True)
def usual():
    """Return the settings of this process, which are restored afterwards."""
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.long
def test_collections_are_rare_during_a_run_only(ws, settings, teach, usual):
    seen = []
    teach(Canned(behave=lambda *_: seen.append((gc.get_threshold()[0], gc.get_freeze_count() > 0))))
    execute_run(ws, settings())
    assert set(seen) == {(GARBAGE_OBJECTS, True)}
    assert gc.get_threshold() == usual and gc.get_freeze_count() == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_exception_restores_the_settings(usual, error):
    with pytest.raises(error), _rare_garbage_collection:
        raise error
    assert gc.get_threshold() == usual and gc.get_freeze_count() == 0


def test_the_last_of_several_runs_at_once_restores_the_settings(usual):
    first, second = _rare_garbage_collection, _rare_garbage_collection
    first.__enter__()
    second.__enter__()
    first.__exit__()  # before the other, as runs in threads may end
    assert gc.get_threshold()[0] == GARBAGE_OBJECTS and gc.get_freeze_count() > 0
    second.__exit__()
    assert gc.get_threshold() == usual and gc.get_freeze_count() == 0
    with _rare_garbage_collection:
        assert gc.get_threshold()[0] == GARBAGE_OBJECTS
    assert gc.get_threshold() == usual
