"""Scaling study job: trains one recipe on nested samples of a snapshot, judges each model, and fits scaling curves.

The study starts fine-tuning and judging runs one after the other and waits for them. It can be paused, killed and resumed, and
reuses existing models and matches.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.dataset.splits import TRAIN
from glan_core.errors import GlanError
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.match_setup import match_setup
from glan_core.evaluation.judge.pairwise import plan_judging
from glan_core.evaluation.settings import PairwiseJudgeSettings, ScalingSettings
from glan_core.formatting import number, plural, quoted
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs import launcher
from glan_core.runs.heartbeat import Progress, Stopped
from glan_core.runs.states import PAUSED, get, state_of
from glan_core.settings import read_settings
from glan_core.training.preflight import check_settings
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace, match_rows, run_rows
from glan_core.workspace.run_rows import LIVE

LOOK_SECONDS = 0.5
FEWEST_FOR_LAW = 4  # minimum number of points for a three-parameter curve
MOST_RUNS = 2000


@dataclass(frozen=True, slots=True)
class Point:
    """Result for one sample size; values are None until available.

    Attributes:
        rows: Training rows.
        model: Name of the model.
        loss: Validation loss in nats per token.
        difference: Mean score difference.
        low: Lower bound of its interval.
        high: Upper bound of its interval.
        judged: Questions judged.
    """

    rows: int
    model: str
    loss: float | None
    difference: float | None
    low: float | None
    high: float | None
    judged: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A fitted curve.

    Attributes:
        formula: Formula as text.
        at: Function that returns values for numbers of rows.
        r2: Coefficient of determination.
    """

    formula: str
    at: Callable[[Sequence[float]], np.ndarray]
    r2: float


def run_study(ws: Workspace, settings: ScalingSettings, progress: Progress) -> str:
    """Train and judge the missing models of a study.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If a setting is invalid, a model name is in use, or a run of the study failed.
    """
    finetunes = finetune_settings(ws, settings)
    for nth, tune in enumerate(finetunes):
        progress.step("models", nth, len(finetunes))
        if _model(ws, tune) is None:
            _complete_run(ws, tune, f"{settings.name}: {plural(tune.rows or 0, 'row')}", progress)
        progress.step("models", nth + 1, len(finetunes))
    for nth, tune in enumerate(finetunes if settings.judge is not None else ()):
        progress.step("matches", nth, len(finetunes))
        match = judge_settings(settings, tune.name)
        if plan_judging(ws, match).calls[1] or match_rows.match(ws.db, match_setup(ws, match).id) is None:
            _complete_run(ws, match, f"{settings.name}: {tune.name} on {match.test}", progress)
        progress.step("matches", nth + 1, len(finetunes))
    return _summary(settings, study_points(ws, settings))


def finetune_settings(ws: Workspace, settings: ScalingSettings) -> list[FinetuneSettings]:
    """Return the fine-tuning settings of a study, smallest sample first.

    Raises:
        GlanError: If the snapshot does not exist or a setting is invalid.
    """
    given = {name: value for name, value in settings.finetune.items() if name not in ("name", "rows", "kind")}
    whole = read_settings(FinetuneSettings, given | {"name": settings.name})
    rows = read_snapshot(ws, whole.snapshot).manifest.rows.get(TRAIN, 0)
    parts = dict.fromkeys(max(1, round(share * rows)) for share in settings.shares)
    return [read_settings(FinetuneSettings, given | {"name": f"{settings.name}-{part}", "rows": part}) for part in parts]


def judge_settings(settings: ScalingSettings, model: str) -> PairwiseJudgeSettings:
    """Return the settings by which a model of the study is judged.

    Raises:
        GlanError: If a setting is invalid.
    """
    return read_settings(PairwiseJudgeSettings, (settings.judge or {}) | {"ours": f"tuned:{model}"})


def check_study(ws: Workspace, settings: ScalingSettings) -> list[FinetuneSettings]:
    """Check that a study can start; return its fine-tuning settings.

    Raises:
        GlanError: If the snapshot or test does not exist, a setting is invalid, a model name is in use, or a run could not
            start (`preflight`).
    """
    from glan_core.dataset.glan_test_store import read_test

    finetunes = finetune_settings(ws, settings)
    for tune in finetunes:
        if _model(ws, tune) is None:
            check_settings(ws, tune)
    if settings.judge is not None:
        read_test(ws, judge_settings(settings, finetunes[0].name).test)
    return finetunes


def list_studies(ws: Workspace) -> list[tuple[ScalingSettings, int]]:
    """Return the studies of a workspace with the IDs of their newest runs, newest first."""
    found: dict[str, tuple[ScalingSettings, int]] = {}
    for run in run_rows.runs(ws.db, MOST_RUNS):
        if run.kind == "scaling" and run.params.get("name") not in found:
            with suppress(GlanError):  # a study of an incompatible earlier release
                found[run.params["name"]] = read_settings(ScalingSettings, run.params), run.id
    return list(found.values())


def study_points(ws: Workspace, settings: ScalingSettings) -> list[Point]:
    """Return the results of a study so far."""
    return [_point(ws, settings, tune) for tune in finetune_settings(ws, settings)]


def _point(ws: Workspace, settings: ScalingSettings, tune: FinetuneSettings) -> Point:
    model: TunedModel | None = None
    with suppress(GlanError):
        model = tuned_model_store.read_model(ws, tune.name)
    loss = model.losses.get("validation") if model else None
    rows = tune.rows or 0
    found = None
    if model and settings.judge is not None:
        with suppress(GlanError):
            if match := match_rows.match(ws.db, match_setup(ws, judge_settings(settings, tune.name)).id):
                found = match_statistics.outcome(match_statistics.item_frame(ws, match))
    if found is None:
        return Point(rows, tune.name, loss, None, None, None, 0)
    return Point(rows, tune.name, loss, found.difference, found.low, found.high, found.judged)


def loss_curve(found: Sequence[Point]) -> Curve | None:
    """Fit a power law L(n) = c + a n^-b to the losses by least squares; a line in log n for few points.

    Returns:
        The curve, or None for fewer than two distinct losses.

    Source: Kaplan et al., arXiv 2001.08361; irreducible loss as in Hoffmann et al., arXiv 2203.15556.
    """
    return _curve([(p.rows, p.loss) for p in found if p.loss is not None], power_law=True)


def score_curve(found: Sequence[Point]) -> Curve | None:
    """Fit a line in log n to the score differences; None for fewer than two distinct values."""
    return _curve([(p.rows, p.difference) for p in found if p.difference is not None], power_law=False)


def _curve(known: list[tuple[int, float]], *, power_law: bool) -> Curve | None:
    if len({y for _, y in known}) < 2:
        return None
    n, y = (np.array(column, float) for column in zip(*known, strict=True))
    if power_law and len(known) >= FEWEST_FOR_LAW and (curve := _power_law(n, y)):
        return curve
    slope, base = np.polyfit(np.log10(n), y, 1)
    return Curve(
        f"{base:.2f} {slope:+.2f} log₁₀ n", lambda rows: base + slope * np.log10(rows), _r2(y, base + slope * np.log10(n))
    )


def _power_law(n: np.ndarray, y: np.ndarray) -> Curve | None:
    from scipy.optimize import curve_fit

    def law(n: np.ndarray, c: float, a: float, b: float) -> np.ndarray:
        return c + a * n**-b

    try:
        (c, a, b), _ = curve_fit(
            law, n, y, p0=(y.min() / 2, y.max(), 0.3), bounds=([0, 0, 0.01], [np.inf, np.inf, 3]), maxfev=20_000
        )
    except (RuntimeError, ValueError):  # the fit did not converge
        return None
    return Curve(f"{c:.2f} + {a:.2f} / n^{b:.2f}", lambda rows: law(np.asarray(rows, float), c, a, b), _r2(y, law(n, c, a, b)))


def _r2(y: np.ndarray, fitted: np.ndarray) -> float:
    spread = float(((y - y.mean()) ** 2).sum())
    return 1.0 - float(((y - fitted) ** 2).sum()) / spread if spread else 1.0


def _model(ws: Workspace, tune: FinetuneSettings) -> TunedModel | None:
    """Return the model of a sample if it was trained.

    Raises:
        GlanError: If another model has its name.
    """
    if not tuned_model_store.model_folder(ws, tune.name).exists():
        return None
    model = tuned_model_store.read_model(ws, tune.name)
    if not _same({**model.settings, "name": tune.name}, tune):  # a model may have been renamed
        raise GlanError(
            f"Model {quoted(tune.name)} already exists with other settings. Choose another name for the study, or remove the model."
        )
    return model


def _complete_run(ws: Workspace, settings: FinetuneSettings | PairwiseJudgeSettings, title: str, progress: Progress) -> None:
    """Start a run, or resume an unfinished one with the same settings, and wait for its end.

    The run is paused or canceled with the study.

    Raises:
        GlanError: If the run fails.
    """
    run_id = _unfinished_run(ws, settings)
    if run_id is None:
        run_id = launcher.start(ws, settings.kind, title, settings)
    elif state_of(get(ws, run_id)) not in LIVE:
        launcher.resume(ws, run_id)
    while (state := state_of(get(ws, run_id))) in LIVE:
        if progress.wish:
            with suppress(GlanError):  # the run has just ended
                (launcher.pause if progress.wish == PAUSED else launcher.cancel)(ws, run_id)
            raise Stopped(progress.wish)
        time.sleep(LOOK_SECONDS)
    if state != "finished":
        raise GlanError(f"Run {run_id} of the study is {state}: {get(ws, run_id).message or 'see its page'}")


def _unfinished_run(ws: Workspace, settings: FinetuneSettings | PairwiseJudgeSettings) -> int | None:
    """Return the newest unfinished run with the same settings, or None."""
    same = (run for run in run_rows.runs(ws.db, MOST_RUNS) if run.kind == settings.kind and _same(run.params, settings))
    return next((run.id for run in same if state_of(run) != "finished"), None)


def _same(stored: dict, settings: FinetuneSettings | PairwiseJudgeSettings) -> bool:
    """Return whether stored settings are these; an earlier version may have stored fewer of them."""
    try:
        return read_settings(type(settings), stored) == settings
    except GlanError:
        return False


def _summary(settings: ScalingSettings, found: Sequence[Point]) -> str:
    first, last = found[0], found[-1]
    parts = [f"{settings.name}: {plural(len(found), 'model')} on {number(first.rows)} to {number(last.rows)} rows"]
    if first.loss is not None and last.loss is not None:
        parts.append(f"validation loss {first.loss:.3f} to {last.loss:.3f}")
    if first.difference is not None and last.difference is not None:
        parts.append(f"score difference {first.difference:+.2f} to {last.difference:+.2f}")
    return "; ".join(parts) + "."
