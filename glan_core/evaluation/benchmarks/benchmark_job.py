"""Benchmark job: runs models on benchmarks."""

import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks import data_files, item_store, readiness
from glan_core.evaluation.benchmarks.data_files import BenchmarkData
from glan_core.evaluation.benchmarks.readiness import Readiness
from glan_core.evaluation.benchmarks.registry import Way, WayName
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.formatting import plural
from glan_core.models import server_client
from glan_core.models.model_specs import model_title, resolve_model
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, benchmark_score_rows
from glan_core.workspace.benchmark_score_rows import Score

if TYPE_CHECKING:
    from glan_core.evaluation.benchmarks.lm_eval_model import EvaluationModel
    from glan_core.models.weights_cache import WeightsCache

VARIABLES = {  # nothing is downloaded, and progress bars are kept out of the log
    "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}  # fmt: skip


def run_benchmarks(ws: Workspace, settings: BenchmarkSettings, progress: Progress) -> str:
    """Run models on benchmarks; store their scores and all items.

    Scores that exist for the same weights, data and settings are not computed again. After a pause or a kill, the run resumes
    with the next question.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If a model, data or the sandbox is missing; raised before anything runs.
    """
    able = {one.benchmark.id: one for one in readiness.runnable_benchmarks(ws, settings)}
    server_client.try_release()  # frees the memory of chat models
    os.environ.update(VARIABLES)
    wanted = [(spec, able[id], way) for spec in settings.models for id, way in settings.wanted() if id in able]
    counts = [min(one.rows or 0, settings.limit or one.rows or 0) for _, one, _ in wanted]
    counted, cache = _BenchmarkProgress(progress, counts), _weights_cache()
    for spec in settings.models:
        with _readable_errors(spec), _evaluated_model(ws, spec, settings, cache) as model:
            for _, one, way in (want for want in wanted if want[0] == spec):
                model.run(ws, one, way, counted)
                counted.next()
    left = len(settings.benchmarks) - len(able)
    return (
        f"{plural(len(settings.models), 'model')} evaluated on {plural(len(able), 'benchmark')}"
        + (f", {plural(left, 'benchmark')} skipped because something is missing" if left else "")
        + (f"; {plural(counted.cut, 'prompt')} exceeded the context and lost their start" if counted.cut else "")
        + (f"; {plural(counted.unjudged, 'program')} could not be judged and counted as failed" if counted.unjudged else "")
        + "."
    )


class _BenchmarkProgress:
    """Progress in benchmarks and questions; `cut` counts truncated prompts, `unjudged` programs that the sandbox could not judge."""

    def __init__(self, progress: Progress, rows: list[int]) -> None:
        self.run_id, self._progress, self._rows = progress.run_id, progress, rows
        self._nth = self._programs = self.cut = self.unjudged = 0
        self.step(0, 1)

    def step(self, done: int, of: int) -> None:
        """Report `done` of `of` requests of the current benchmark."""
        before, now = sum(self._rows[: self._nth]), self._rows[self._nth] if self._nth < len(self._rows) else 0
        self._progress.step("benchmarks", self._nth, len(self._rows))
        self._progress.step("questions", before + now * done // max(1, of), sum(self._rows))

    def next(self) -> None:
        """Advance to the next benchmark."""
        self._nth += 1
        self._programs = 0
        self.step(0, 1)

    def program(self) -> None:
        """Report that a program of the current benchmark was run."""
        self._programs += 1
        self._progress.step("programs", min(self._programs, self._rows[self._nth]), self._rows[self._nth])


class _EvaluatedModel:
    """A loaded model with the settings shared by all of its benchmarks."""

    def __init__(
        self, spec: str, settings: BenchmarkSettings, model: "EvaluationModel", weights_hash: str, base_hash: str
    ) -> None:
        self.spec, self.settings, self.model, self.weights_hash = spec, settings, model, weights_hash
        template = getattr(model.tokenizer, "chat_template", None) if settings.chat_template else None
        self.chat = bool(template)
        self.about = {
            "template": sha256(str(template).encode()).hexdigest()[:12] if template else "", "limit": settings.limit,
            "seed": settings.seed, "lm_eval": version("lm_eval"), "base": base_hash,
        }  # fmt: skip

    def run(self, ws: Workspace, one: Readiness, way_name: WayName, counted: _BenchmarkProgress) -> None:
        """Run a benchmark and store its results, unless they exist."""
        from glan_core.evaluation.benchmarks.lm_eval_model import longest_answer

        if one.data is None:
            raise GlanError(one.why or f"{one.benchmark.title} has no data.")
        benchmark, way = one.benchmark, one.benchmark.ways[way_name]
        tokens = longest_answer(self.model, self.settings.max_tokens or way.tokens) if way.tokens else None
        about = self.about | {
            "shots": way.shots, "filter": f"{way.measure.metric},{way.measure.filter}", "measure": way.measure.words,
            "max_tokens": tokens, "data": data_files.data_hash(one.data), "task": way.definition,
        }  # fmt: skip
        place = (self.weights_hash, benchmark.id, way_name, about)
        if known := benchmark_score_rows.scores_with_settings(ws.db, *place):
            if not any(score.model == self.spec for score in known):
                self._store(ws, [replace(score, model=self.spec) for score in known if score.model == known[0].model])
            return
        file = item_store.items_file(ws, *place)
        scores, found = self._evaluate(one, one.data, way, tokens, file.with_suffix(".part"), counted)
        item_store.write_items(file, found)
        run_id, now = counted.run_id, time.time()
        self._store(ws, [
            Score(self.spec, self.weights_hash, benchmark.id, way_name, part, score.score, score.error, score.number, about,
                  run_id=run_id, at=now)
            for part, score in scores.items()
        ])  # fmt: skip
        file.with_suffix(".part").unlink(missing_ok=True)

    def _evaluate(
        self, one: Readiness, data: BenchmarkData, way: Way, tokens: int | None, kept: Path, counted: _BenchmarkProgress
    ) -> tuple:
        from lm_eval.evaluator import evaluate

        from glan_core.evaluation.benchmarks import code_eval, lm_eval_tasks, scoring

        benchmark = one.benchmark
        rows = data_files.read_rows(data, benchmark)
        try:
            made = lm_eval_tasks.create_tasks(benchmark, way, rows, tokens, self.settings.seed)
        except Exception as error:  # lm-eval raises many exception types for unexpected rows
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise GlanError(f"lm-eval cannot use the rows of {benchmark.title} in {data.folder}: {first}.") from None
        limit = ceil(self.settings.limit / len(made)) if self.settings.limit else None
        random.seed(self.settings.seed)
        prompts = [row["prompt"] for part in rows.values() for row in part if "entry_point" in row]  # HumanEval's
        with self.model.keeping(kept, counted.step), code_eval.on_each_run(counted.program, prompts):
            results = evaluate(
                self.model, {"tasks": {task.task_name: task for task in made.values()}, "groups": {}}, limit=limit,
                apply_chat_template=self.chat, fewshot_as_multiturn=True, confirm_run_unsafe_code=self.settings.run_code,
            )  # fmt: skip
        counted.cut += len(self.model.cut)
        counted.unjudged += sum(outcome.unsupported for outcome in code_eval.outcomes.values()) if benchmark.runs_code else 0
        return scoring.score_parts(benchmark, way, made, results), scoring.scored_items(
            benchmark, way, made, results, self.model.cut
        )

    def _store(self, ws: Workspace, scores: list[Score]) -> None:
        with ws.write() as db:
            benchmark_score_rows.set_scores(db, scores)


@contextmanager
def _evaluated_model(ws: Workspace, spec: str, settings: BenchmarkSettings, cache: "WeightsCache") -> Iterator[_EvaluatedModel]:
    """Yield a model with its weights in memory; a base and its adapters share one copy."""
    from glan_core.evaluation.benchmarks.lm_eval_model import EvaluationModel, active_adapter
    from glan_core.models.weights_cache import attach_adapter, cached_hash, get_tokenizer

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    pane = resolve_model(ws, spec)
    with cache.acquire(pane) as held:
        attach_adapter(held, pane)
        weights, base = cached_hash(held.folder), ""
        if pane.adapter:
            weights, base = cached_hash(Path(pane.adapter)), weights
        with active_adapter(held, pane) as model:
            evaluated = EvaluationModel(model, get_tokenizer(held, pane), settings.batch)
            yield _EvaluatedModel(spec, settings, evaluated, weights, base)


def _weights_cache() -> "WeightsCache":
    from glan_core.models.weights_cache import WeightsCache

    return WeightsCache()


@contextmanager
def _readable_errors(spec: str) -> Iterator[None]:
    """Convert library errors about weights and memory into one sentence."""
    import torch

    from glan_core.models.weights_cache import ModelUnavailable

    try:
        yield
    except ModelUnavailable as fault:
        raise GlanError(str(fault)) from None
    except (MemoryError, torch.OutOfMemoryError):
        raise GlanError(
            f"There is not enough memory to evaluate {model_title(spec)}. Use a smaller batch size or a smaller model."
        ) from None
