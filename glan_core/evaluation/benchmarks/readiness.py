"""Whether benchmarks can be run on this machine: what is there, what isn't, and what would bring it. Asked before anything runs."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks.data_files import Data, data_folder, find_data, places, read_rows
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, Benchmark, find
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.evaluation.sandbox import runner
from glan_core.models.model_specs import pane_of
from glan_core.workspace import Workspace

NEEDS_SENTENCES = {"length_constraints:number_sentences", "change_case:capital_word_frequency"}  # IFEval's, by NLTK
PACKAGES = ("langdetect", "immutabledict", "nltk")  # that IFEval's checks import


@dataclass(frozen=True, slots=True)
class Readiness:
    """What is here of a benchmark. `why`: what keeps it from being run, in a sentence that says what to do; '' for nothing.
    `rows` are counted only where it was asked for."""

    benchmark: Benchmark
    data: Data | None
    why: str = ""
    rows: int | None = None

    @property
    def parts(self) -> int:
        """How many of its parts are here."""
        return len(self.data.parts(self.benchmark)) if self.data else 0


def look(ws: Workspace, given: str | None, ids: Sequence[str] = tuple(BENCHMARKS), count: bool = False) -> list[Readiness]:
    """What is here of these benchmarks; with `count` their files are read, so that faults in them are found."""
    return [_look(data_folder(ws, given), find(id), count) for id in ids]


def check(ws: Workspace, settings: BenchmarkSettings) -> list[Readiness]:
    """The benchmarks of an order that can be run, their data read once. GlanError before anything runs: for a model that can't be
    asked, and for the benchmarks that can't be run, unless these are to be skipped and others are left."""
    for spec in settings.models:
        check_model(ws, spec)
    looked = look(ws, settings.data, settings.benchmarks, count=True)
    able, faults = [], []
    for one in looked:
        why = one.why or (_why_no_code(settings) if one.benchmark.runs_code else "")
        able, faults = ([*able, one], faults) if not why else (able, [*faults, why])
    if faults and (not able or not settings.skip_missing):
        more = " Or leave out what is missing: --skip-missing." if able else ""
        raise GlanError("\n".join(faults) + more)
    return able


def check_model(ws: Workspace, spec: str) -> None:
    """GlanError where a model can't be asked: benchmarks need its weights, since options are scored by their probability."""
    pane = pane_of(ws, spec)
    if pane.teacher:
        raise GlanError(
            f"{spec} is asked over an endpoint or has no weights: benchmarks take tuned:NAME, base:NAME or local:PATH."
        )


def _look(folder: Path, benchmark: Benchmark, count: bool) -> Readiness:
    data = find_data(folder, benchmark)
    if data is None:
        looked = ", ".join(str(place) for place in places(folder, benchmark)[: 1 if benchmark.id == _name(benchmark) else 2])
        return Readiness(
            benchmark, None,
            f"{benchmark.title} is not on this machine: neither in {looked} (JSONL, JSON, CSV or Parquet) nor in the Hugging Face "
            f"cache. With network, '{benchmark.command}' brings it; its terms of use are the data set's own.",
        )  # fmt: skip
    if benchmark.id == "ifeval" and (missing := [name for name in PACKAGES if find_spec(name) is None]):
        return Readiness(
            benchmark, data, f"IFEval's checks need {', '.join(missing)}: 'pip install lm-eval[ifeval]' brings them."
        )
    if not count:
        return Readiness(benchmark, data)
    try:
        rows = read_rows(data, benchmark)
    except GlanError as error:
        return Readiness(benchmark, data, str(error))
    why = _why_no_sentences(rows) if benchmark.id == "ifeval" else ""
    return Readiness(benchmark, data, why, sum(map(len, rows.values())))


def _name(benchmark: Benchmark) -> str:
    return benchmark.dataset.split("/")[-1]


def _why_no_code(settings: BenchmarkSettings) -> str:
    if not settings.run_code:
        return "HumanEval and MBPP run programs that the model writes, in a sandbox: ask for that with --run-code."
    try:
        runner.prove()
    except GlanError as error:
        return str(error)
    return ""


def _why_no_sentences(rows: dict[str, list[dict]]) -> str:
    asked = {id for part in rows.values() for row in part for id in row["instruction_id_list"] or ()}
    if not asked & NEEDS_SENTENCES or _has_punkt():
        return ""
    return (
        "IFEval counts sentences with NLTK's model punkt_tab, which is not on this machine: with network, "
        "'python -m nltk.downloader punkt_tab' brings it to ~/nltk_data."
    )


def _has_punkt() -> bool:
    """Whether NLTK would find its model, looked for without importing it."""
    roots = [Path(place) for place in os.environ.get("NLTK_DATA", "").split(os.pathsep) if place]
    roots += [Path.home() / "nltk_data", *(Path(sys.prefix) / at for at in ("nltk_data", "share/nltk_data", "lib/nltk_data"))]
    roots += [Path(at) / "nltk_data" for at in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    return any((root / "tokenizers" / name).exists() for root in roots for name in ("punkt_tab", "punkt_tab.zip"))
