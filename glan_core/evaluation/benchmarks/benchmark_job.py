"""The run that asks models the questions of benchmarks."""

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
from glan_core.evaluation.benchmarks.readiness import Readiness
from glan_core.evaluation.benchmarks.registry import Way, WayName
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.formatting import plural
from glan_core.models import server_client as chat_process
from glan_core.models.model_specs import Pane, pane_of, title_of
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, benchmark_score_rows
from glan_core.workspace.benchmark_score_rows import Score

if TYPE_CHECKING:
    from glan_core.models.weights_cache import WeightsCache

VARIABLES = {  # nothing is fetched for data, and bars of libraries stay out of the run's log
    "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}  # fmt: skip


def bench(ws: Workspace, settings: BenchmarkSettings, progress: Progress) -> str:
    """Ask models, store their scores and every item; what came of it, in a sentence.

    What is scored already with the same weights, data and settings is not asked again; after a pause or a kill it goes on with the
    next question. GlanError, before anything is asked, where a model, data or the sandbox are missing.
    """
    able = {one.benchmark.id: one for one in readiness.check(ws, settings)}
    chat_process.release()  # the models that are talked to give their memory
    os.environ.update(VARIABLES)
    wanted = [(spec, able[id], way) for spec in settings.models for id, way in settings.wanted() if id in able]
    counted, shelf = _Counted(progress, [min(one.rows, settings.limit or one.rows) for _, one, _ in wanted]), _empty_shelf()
    for spec in settings.models:
        with _plain_faults(spec), _asked(ws, spec, settings, shelf) as asked:
            for _, one, way in (want for want in wanted if want[0] == spec):
                asked.benchmark(ws, one, way, counted)
                counted.next()
    left = len(settings.benchmarks) - len(able)
    return (
        f"{plural(len(settings.models), 'model')} asked in {plural(len(able), 'benchmark')}"
        + (f", {plural(left, 'benchmark')} left out since something is missing" if left else "")
        + (f"; {plural(counted.cut, 'prompt')} longer than the model can see, so cut at the start" if counted.cut else "")
        + "."
    )


class _Counted:
    """How far the run is: in benchmarks, and in questions, of which each of them has so many. `cut` prompts were too long."""

    def __init__(self, progress: Progress, rows: list[int]) -> None:
        self.run_id, self._progress, self._rows = progress.run_id, progress, rows
        self._nth = self._programs = self.cut = 0
        self.step(0, 1)

    def step(self, done: int, of: int) -> None:
        """So many of the requests of the present benchmark are answered."""
        before, now = sum(self._rows[: self._nth]), self._rows[self._nth] if self._nth < len(self._rows) else 0
        self._progress.step("benchmarks", self._nth, len(self._rows))
        self._progress.step("questions", before + now * done // max(1, of), sum(self._rows))

    def next(self) -> None:
        """The present benchmark is scored."""
        self._nth += 1
        self._programs = 0
        self.step(0, 1)

    def program(self) -> None:
        """A program of the present benchmark was run."""
        self._programs += 1
        self._progress.step("programs", min(self._programs, self._rows[self._nth]), self._rows[self._nth])


class _Asked:
    """A model that is loaded, and the settings that hold for all of its benchmarks."""

    def __init__(self, spec: str, settings: BenchmarkSettings, model: object, weights_hash: str, base_hash: str) -> None:
        self.spec, self.settings, self.model, self.weights_hash = spec, settings, model, weights_hash
        template = getattr(model.tokenizer, "chat_template", None) if settings.chat_template else None
        self.chat = bool(template)
        self.about = {
            "template": sha256(str(template).encode()).hexdigest()[:12] if template else "", "limit": settings.limit,
            "seed": settings.seed, "lm_eval": version("lm_eval"), "base": base_hash,
        }  # fmt: skip

    def benchmark(self, ws: Workspace, one: Readiness, way_name: WayName, counted: _Counted) -> None:
        """Ask a benchmark in one way and store what came of it, unless that is stored."""
        from glan_core.evaluation.benchmarks.lm_eval_model import longest_answer

        benchmark, way = one.benchmark, one.benchmark.ways[way_name]
        tokens = way.tokens and longest_answer(self.model, self.settings.max_tokens or way.tokens)
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
        scores, found = self._ask(one, way, tokens, file.with_suffix(".part"), counted)
        item_store.write_items(file, found)
        number = {"run_id": counted.run_id, "at": time.time()}
        self._store(ws, [
            Score(self.spec, self.weights_hash, benchmark.id, way_name, part, score.score, score.error, score.number, about, **number)
            for part, score in scores.items()
        ])  # fmt: skip
        file.with_suffix(".part").unlink(missing_ok=True)

    def _ask(self, one: Readiness, way: Way, tokens: int | None, kept: Path, counted: _Counted) -> tuple:
        from lm_eval.evaluator import evaluate

        from glan_core.evaluation.benchmarks import code_eval, lm_eval_tasks, scoring

        benchmark = one.benchmark
        rows = data_files.read_rows(one.data, benchmark)
        try:
            made = lm_eval_tasks.make_tasks(benchmark, way, rows, tokens, self.settings.seed)
        except Exception as error:  # whatever rows that are not as expected make lm-eval raise
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise GlanError(f"lm-eval can't take the rows of {benchmark.title} in {one.data.folder}: {first}.") from None
        limit = self.settings.limit and ceil(self.settings.limit / len(made))
        random.seed(self.settings.seed)
        with self.model.keeping(kept, counted.step), code_eval.watched(counted.program):
            results = evaluate(
                self.model, {"tasks": {task.task_name: task for task in made.values()}, "groups": {}}, limit=limit,
                apply_chat_template=self.chat, fewshot_as_multiturn=True, confirm_run_unsafe_code=self.settings.run_code,
            )  # fmt: skip
        counted.cut += len(self.model.cut)
        return scoring.score_parts(benchmark, way, made, results), scoring.items(benchmark, way, made, results, self.model.cut)

    def _store(self, ws: Workspace, scores: list[Score]) -> None:
        with ws.write() as db:
            benchmark_score_rows.set_scores(db, scores)


@contextmanager
def _asked(ws: Workspace, spec: str, settings: BenchmarkSettings, shelf: "WeightsCache") -> Iterator[_Asked]:
    """A model with its weights in memory, for as long as the block runs; a base and the adapter to it are one copy."""
    from glan_core.evaluation.benchmarks.lm_eval_model import AskedModel, as_pane
    from glan_core.models.weights_cache import attach, hash_of, tokenizer_of

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    pane: Pane = pane_of(ws, spec)
    with shelf.taken(pane) as held:
        attach(held, pane)
        weights, base = hash_of(held.folder), ""
        if pane.adapter:
            weights, base = hash_of(Path(pane.adapter)), weights
        with as_pane(held, pane) as weighed:
            yield _Asked(spec, settings, AskedModel(weighed, tokenizer_of(held, pane), settings.batch), weights, base)


def _empty_shelf() -> "WeightsCache":
    from glan_core.models.weights_cache import WeightsCache

    return WeightsCache()


@contextmanager
def _plain_faults(spec: str) -> Iterator[None]:
    """What libraries raise for want of weights or memory, as a sentence."""
    import torch

    from glan_core.models.weights_cache import PaneFault

    try:
        yield
    except PaneFault as fault:
        raise GlanError(str(fault)) from None
    except (MemoryError, torch.OutOfMemoryError):
        raise GlanError(f"There is not enough memory to ask {title_of(spec)}: ask fewer at once, or a smaller model.") from None
