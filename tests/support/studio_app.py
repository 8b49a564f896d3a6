"""What the tests of pages need: workspaces in the states that pages meet, and the studio as Streamlit's AppTest drives it."""

import json
import re
import shlex
import shutil
import socket
import time
from functools import cache
from pathlib import Path

import numpy as np
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Dataframe, Element, Progress, TextInput
from support.demo import small_demo

from glan_core.cli import build_parser
from glan_core.cli.generate import _settings
from glan_core.diversity.map_job import read_facts
from glan_core.diversity.map_store import Cluster, MapInfo, write_map
from glan_core.diversity.projection import Projection
from glan_core.generation.settings import GenerationSettings
from glan_core.workspace import Workspace, call_rows, homework_rows, run_rows
from glan_core.workspace.run_rows import Sample, StageProgress
from pages.components.runs.form import MORE

# AppTest searches all installed packages for components at the start of each session, which takes longer than rendering a page.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)

ROOT = Path(__file__).parents[2]
PAGES = (
    "overview",
    "taxonomy",
    "syllabi",
    "homework",
    "diversity",
    "dataset",
    "train",
    "models",
    "chat",
    "evaluate",
    "runs",
    "connections",
    "workspaces",
    "search",
)


class Studio:
    """The studio in one browser session: open a page by its name, read what it says, press its buttons."""

    def __init__(self, page: str = "overview", **query: str) -> None:
        self.app = AppTest.from_file(ROOT / "streamlit_app.py", default_timeout=120)
        if page != "overview":
            self.app.switch_page(f"pages/{page}.py")
        self.app.query_params.update(query)
        self.app.run()

    def go(self, page: str, **query: str) -> "Studio":
        """Open another page by the navigation; `query` is what its address says."""
        self.app.switch_page(f"pages/{page}.py")
        self.app.query_params.update(query)
        self.app.run()
        return self

    @property
    def said(self) -> str:
        """Everything that a user reads, line by line: texts, labels, values, tables. Escapes of Markdown are undone."""
        lines = []
        for element in self.app._tree:
            if element.type == "html":  # the style sheet
                continue
            lines += [getattr(element, "label", "") or "", getattr(element, "icon", "") or ""]
            if isinstance(element, Progress):
                lines.append(element.proto.text)
            elif isinstance(element, TextInput) and element.proto.type == element.proto.PASSWORD:
                lines.append("•" * len(element.value or ""))
            elif isinstance(element, Dataframe):
                lines.append(element.value.to_string())
            elif isinstance(element, Element) and isinstance(element.value if hasattr(element, "value") else None, str):
                lines.append(element.value)
        return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join([line for line in lines if line] + self.commands))

    @property
    def commands(self) -> list[str]:
        """The shell commands that can be copied."""
        drawn = (element.proto for element in self.app.get("bidi_component"))
        return [json.loads(one.json)["command"] for one in drawn if one.component_name.endswith("glan_command")]

    @property
    def fine(self) -> bool:
        """Whether the page was drawn without an exception."""
        return not self.app.exception

    def button(self, label: str):
        """The first button whose label begins so."""
        return next(button for button in self.app.button if button.label.startswith(label))

    def labels(self) -> list[str]:
        """The labels of the buttons that can be pressed."""
        return [button.label for button in self.app.button if not button.disabled]

    def press(self, label: str) -> "Studio":
        """Press the first button whose label begins so."""
        self.button(label).click().run()
        return self

    def table(self, column: str):
        """The table that has a column, as a frame."""
        return next(frame.value for frame in self.app.dataframe if column in frame.value.columns)

    def until(self, true, seconds: float = 120) -> "Studio":
        """Look at the page again and again until something is so."""
        deadline = time.monotonic() + seconds
        while not true(self):
            assert time.monotonic() < deadline, f"still not so after {seconds} s:\n{self.said}"
            self.app.run()
        return self


def fill(shown: Studio, **values) -> Studio:
    """Type into the fields of the form by their keys; sampling and limits are opened for those in there."""
    for key, value in values.items():
        if (field := _field(shown, key)) is None:
            shown.app.session_state[MORE] = True
            shown.app.run()
            field = _field(shown, key)
        field.set_value(value)
        shown.app.run()
    return shown


def _field(shown: Studio, key: str):
    kinds = (shown.app.number_input, shown.app.text_input, shown.app.selectbox, shown.app.slider, shown.app.toggle)
    return next((field for kind in kinds for field in kind if field.key == key), None)


def ordered(shown: Studio, ws) -> GenerationSettings:
    """The order that the shown command stands for."""
    program, *words = shlex.split(shown.commands[0])
    args = build_parser().parse_args(words)
    assert program == "glan" and args.command.__name__ == "_generate"
    return _settings(ws, args)


def copy_of(folder: Path, home: Path, name: str) -> Path:
    """A copy of a workspace below `home`."""
    return Path(shutil.copytree(folder, home / name))


def make_demo(folder: Path) -> Path:
    """The demo workspace, closed."""
    small_demo(folder).close()
    return folder


ORDER = {"target": {"disciplines": ["mathematics"], "subject_queries": 1, "questions_per_syllabus": 4}}


def add_run(ws: Workspace, state: str, title: str, *, message: str = "", settings: dict = ORDER, **values) -> int:
    """A run as a process left it, with some progress."""
    now = time.time()
    with ws.write() as db:
        id = run_rows.add_run(db, "generate", title, settings)
        run_rows.update_run(db, id, **{
            "state": state, "message": message, "started_at": now - 100, "heartbeat_at": now,
            "finished_at": None if state in run_rows.LIVE else now - 20, "host": socket.gethostname(), **values,
        })  # fmt: skip
        run_rows.set_stage(db, id, StageProgress("question", 40, 10, 2))
        for n in range(6):
            run_rows.add_sample(db, id, Sample(now - 90 + 10 * n, 2 * n, 3 * n, 1, 2, 4, 8, 1000 * n, 500 * n, 0.25 * n))
    return id


def add_failure(ws: Workspace, run_id: int | None, cause: str, message: str = "", reply: str = "", work: str = "w") -> None:
    """A piece of work of a run that failed."""
    with ws.write() as db:
        failure = call_rows.Failure(work, "question", "mathematics", run_id, cause, message, reply, time.time())
        call_rows.add_failure(db, failure)


def draw_map(ws: Workspace, dims: int = 2, most: int | None = None) -> np.ndarray:
    """Put a map of a workspace's questions in place, without the minutes that fitting one takes; their `seq`."""
    seqs = np.array([row.seq for page in homework_rows.texts(ws.db) for row in page])[:most]
    number, rng = len(seqs), np.random.default_rng(0)
    facts = read_facts(ws, seqs, np.empty(0, np.int64))
    info = MapInfo(
        "words", "Made from words alone.", dims, 0, number, number, number, time.time(), time.time(), int(seqs[-1]),
        (Cluster(0, number - 5, ("rings", "tides"), 0.0, 0.0), Cluster(1, 5, ("chords",), 1.0, 1.0)),
        *(tuple(facts.names[name]) for name in ("discipline", "level", "strategy", "teacher")),
    )  # fmt: skip
    columns = {name: facts.columns[name] for name in ("discipline", "level", "strategy", "teacher", "length", "dropped")} | {
        "seqs": seqs, "xy": rng.normal(size=(number, dims)).astype(np.float32),
        "cluster": (np.arange(number) < 5).astype(np.int32), "novelty": rng.random(number, dtype=np.float32),
        "vector": np.arange(number),
    }  # fmt: skip
    nothing = np.zeros((1, 2), np.float32)
    write_map(ws, info, columns, Projection(nothing, nothing, nothing, nothing), np.zeros(1, np.int32))
    return seqs


def field(shown: Studio, key: str):
    kinds = ("text_input", "text_area", "selectbox", "number_input", "slider", "select_slider", "toggle", "button_group")
    return next(one for kind in kinds for one in shown.app.get(kind) if one.key == key)


def choose(shown: Studio, **values) -> Studio:
    """Fill in fields by their keys, one after the other."""
    for key, value in values.items():
        field(shown, key).set_value(value)
        shown.app.run()
    return shown
