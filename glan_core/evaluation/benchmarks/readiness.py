"""Benchmark readiness: what a benchmark needs on this machine, and how to get what is missing."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks.data_files import BenchmarkData, candidate_paths, data_folder, find_data, read_rows
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, Benchmark, get_benchmark
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.evaluation.sandbox import runner
from glan_core.models.model_specs import resolve_model
from glan_core.workspace import Workspace

NEEDS_SENTENCES = {
    "length_constraints:number_sentences",
    "change_case:capital_word_frequency",
}  # IFEval instructions that need NLTK
PACKAGES = ("langdetect", "immutabledict", "nltk")  # imported by IFEval's checks


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness of a benchmark.

    Attributes:
        benchmark: Benchmark.
        data: Its data, None if not found.
        why: What is missing and how to get it, '' if it can run.
        rows: Number of rows, None if not counted.
    """

    benchmark: Benchmark
    data: BenchmarkData | None
    why: str = ""
    rows: int | None = None

    @property
    def parts(self) -> int:
        """Number of parts with data."""
        return len(self.data.parts(self.benchmark)) if self.data else 0


def check_readiness(
    ws: Workspace, given: str | None, ids: Sequence[str] = tuple(BENCHMARKS), *, count: bool = False
) -> list[Readiness]:
    """Return the readiness of benchmarks; `count` reads their files, which also finds errors in them."""
    return [_readiness(data_folder(ws, given), get_benchmark(id), count=count) for id in ids]


def runnable_benchmarks(ws: Workspace, settings: BenchmarkSettings) -> list[Readiness]:
    """Return the benchmarks that can run.

    Raises:
        GlanError: If a model cannot be evaluated, or a benchmark cannot run and is not to be skipped.
    """
    for spec in settings.models:
        check_model(ws, spec)
    looked = check_readiness(ws, settings.data, settings.benchmarks, count=True)
    able: list[Readiness] = []
    faults: list[str] = []
    for one in looked:
        why = one.why or (_why_no_code(settings) if one.benchmark.runs_code else "")
        able, faults = ([*able, one], faults) if not why else (able, [*faults, why])
    if faults and (not able or not settings.skip_missing):
        more = " Use --skip-missing to skip these benchmarks." if able else ""
        raise GlanError("\n".join(faults) + more)
    return able


def check_model(ws: Workspace, spec: str) -> None:
    """Check that a model can be evaluated: benchmarks need its weights, because options are scored by probability.

    Raises:
        GlanError: If it is an endpoint or does not exist.
    """
    pane = resolve_model(ws, spec)
    if pane.teacher:
        raise GlanError(f"{spec} has no local weights. Benchmarks require tuned:NAME, base:NAME or local:PATH.")


def _readiness(folder: Path, benchmark: Benchmark, *, count: bool) -> Readiness:
    data = find_data(folder, benchmark)
    if data is None:
        looked = ", ".join(
            str(place) for place in candidate_paths(folder, benchmark)[: 1 if benchmark.id == _name(benchmark) else 2]
        )
        return Readiness(
            benchmark, None,
            f"{benchmark.title} was not found in {looked} (JSONL, JSON, CSV or Parquet) or in the Hugging Face cache. Run "
            f"'{benchmark.command}' with a network connection; the dataset's terms of use apply.",
        )  # fmt: skip
    if benchmark.id == "ifeval" and (missing := [name for name in PACKAGES if find_spec(name) is None]):
        return Readiness(benchmark, data, f"IFEval needs {', '.join(missing)}. Run 'pip install lm-eval[ifeval]'.")
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
        return "HumanEval and MBPP run generated programs in a sandbox. Allow it with --run-code."
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
        "IFEval counts sentences with NLTK's punkt_tab model, which is not installed. Run 'python -m nltk.downloader punkt_tab' "
        "with a network connection."
    )


def _has_punkt() -> bool:
    """Return whether NLTK would find its model, without importing NLTK."""
    roots = [Path(place) for place in os.environ.get("NLTK_DATA", "").split(os.pathsep) if place]
    roots += [Path.home() / "nltk_data", *(Path(sys.prefix) / at for at in ("nltk_data", "share/nltk_data", "lib/nltk_data"))]
    roots += [Path(at) / "nltk_data" for at in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    return any((root / "tokenizers" / name).exists() for root in roots for name in ("punkt_tab", "punkt_tab.zip"))
