"""The warm-up of a new server: what the pages import is imported before the first visit, and nothing else."""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from glan_core.background_imports import import_in_background, imported_modules
from glan_core.teachers.scripted.course import count_subjects, list_subjects
from glan_core.teachers.scripted.textbook import subject_counts, textbook
from pages.components.shared import asgi_app, warm_up

ROOT = Path(__file__).parents[2]
WARM = """
import json, sys, threading
from pages.components.shared import warm_up
warm_up.start()
thread = next(thread for thread in threading.enumerate() if thread.name == "background-imports")
assert thread.daemon, "it would keep the server from ending"
thread.join()
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def modules() -> list[str]:
    """The modules of a process after the warm-up."""
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0 and "could not be imported" not in done.stderr, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.processes
def test_all_that_the_first_pages_import_at_their_top_is_imported(modules):
    files = [warm_up.PAGES / f"{page}.py" for page in warm_up.FIRST]
    missing = {module for file in files for module, _ in imported_modules(file)} - set(modules)
    assert not missing and "pages.components.runs.form" in modules and "plotly.graph_objs._bar" in modules


@pytest.mark.processes
@pytest.mark.parametrize("name", ["sympy", "aiohttp", "torch", "transformers", "sklearn", "umap"])
def test_what_only_runs_need_is_not_imported(modules, name):
    assert name not in modules


@pytest.mark.processes
def test_the_files_of_the_pages_themselves_are_not_run(modules):
    assert not {f"pages.{page}" for page in warm_up.FIRST} & set(modules)


def test_a_file_whose_imports_fail_is_logged_and_what_follows_is_left_out(tmp_path, caplog):
    (tmp_path / "page.py").write_text("import json\nfrom glan_core import no_such_module\n", "utf-8")
    followed = []
    import_in_background([tmp_path / "page.py"], then=lambda: followed.append(1)).join()
    assert "could not be imported" in caplog.text and "no_such_module" in caplog.text and not followed


def test_the_server_starts_the_warm_up_and_does_not_wait_for_it(monkeypatch):
    ended, drawing = threading.Event(), threading.Event()
    monkeypatch.setattr(warm_up, "draw_figure", lambda: (drawing.set(), ended.wait(60)))
    others = {thread.ident for thread in threading.enumerate()}

    async def serve() -> threading.Thread:
        async with asgi_app.lifespan(asgi_app.app):
            (thread,) = [one for one in threading.enumerate() if one.ident not in others and one.name == "background-imports"]
            return thread

    thread = asyncio.run(serve())
    assert drawing.wait(60) and thread.is_alive() and thread.daemon
    ended.set()
    thread.join()


def test_subjects_are_counted_as_the_textbook_has_them():
    read = textbook()
    assert subject_counts() == {
        name: len(one.subjects) for one in read.disciplines for name in (one.name.lower(), one.discipline.lower())
    }
    for discipline in ("Mathematics", " mathematics ", "law", "No such discipline"):
        assert count_subjects(discipline) == list_subjects(discipline).count("Level:")
