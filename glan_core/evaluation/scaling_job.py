"""The scaling study: one recipe on nested parts of a snapshot, what came of each, and a curve through it.

The study trains and judges nothing itself: it brings the workspace to a state in which each part has its model and its match, by
runs of their own, one after the other. So it can be paused, killed and taken up again like they can, and finds what is there.
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
from glan_core.settings import Settings, read_settings
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace, match_rows, run_rows
from glan_core.workspace.run_rows import LIVE

LOOK_SECONDS = 0.5
FEWEST_FOR_LAW = 4  # points, for a curve of three numbers
MOST_RUNS = 2000


@dataclass(frozen=True, slots=True)
class Point:
    """What came of a part: its training rows, the model's name, its loss on the held-out rows (nats a token), and the score
    difference with the ends of its interval; None while it is not there."""

    rows: int
    model: str
    loss: float | None
    difference: float | None
    low: float | None
    high: float | None
    judged: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve through points: `formula` in words, `at` its values for numbers of rows, `r2` the share of variance it explains."""

    formula: str
    at: Callable[[Sequence[float]], np.ndarray]
    r2: float


def study(ws: Workspace, settings: ScalingSettings, progress: Progress) -> str:
    """Train and judge what of the study is missing; what came of it, in a sentence. GlanError for a setting that can't be, a name
    that another model has, or a run of the study that failed."""
    orders = finetune_orders(ws, settings)
    judged = settings.judge is not None
    for nth, tune in enumerate(orders):
        progress.step("models", nth, len(orders))
        if _model(ws, tune) is None:
            _see_through(ws, tune, f"{settings.name}: {plural(tune.rows, 'row')}", progress)
        progress.step("models", nth + 1, len(orders))
    for nth, tune in enumerate(orders if judged else ()):
        progress.step("matches", nth, len(orders))
        match = judge_order(settings, tune.name)
        if plan_judging(ws, match).calls[1] or match_rows.match(ws.db, match_setup(ws, match).id) is None:
            _see_through(ws, match, f"{settings.name}: {tune.name} on {match.test}", progress)
        progress.step("matches", nth + 1, len(orders))
    return _said(settings, points(ws, settings))


def finetune_orders(ws: Workspace, settings: ScalingSettings) -> list[FinetuneSettings]:
    """The orders of a study, the smallest part first. GlanError when there is no such snapshot, or a setting can't be."""
    given = {name: value for name, value in settings.finetune.items() if name not in ("name", "rows", "kind")}
    whole = read_settings(FinetuneSettings, given | {"name": settings.name})
    rows = read_snapshot(ws, whole.snapshot).manifest.rows.get(TRAIN, 0)
    parts = dict.fromkeys(max(1, round(share * rows)) for share in settings.shares)
    return [read_settings(FinetuneSettings, given | {"name": f"{settings.name}-{part}", "rows": part}) for part in parts]


def judge_order(settings: ScalingSettings, model: str) -> PairwiseJudgeSettings:
    """The order by which a model of the study is judged; GlanError when a setting can't be."""
    return read_settings(PairwiseJudgeSettings, (settings.judge or {}) | {"ours": f"tuned:{model}"})


def check(ws: Workspace, settings: ScalingSettings) -> list[FinetuneSettings]:
    """Make sure that a study can be begun: its orders; GlanError says what is in the way."""
    from glan_core.dataset.glan_test_store import read_test

    orders = finetune_orders(ws, settings)
    for tune in orders:
        _model(ws, tune)
    if settings.judge is not None:
        read_test(ws, judge_order(settings, orders[0].name).test)
    return orders


def studies(ws: Workspace) -> list[tuple[ScalingSettings, int]]:
    """The studies of a workspace and the numbers of their runs, newest first, each name once."""
    found: dict[str, tuple[ScalingSettings, int]] = {}
    for run in run_rows.runs(ws.db, MOST_RUNS):
        if run.kind == "scaling" and run.params.get("name") not in found:
            with suppress(GlanError):  # a study of an older release
                found[run.params["name"]] = read_settings(ScalingSettings, run.params), run.id
    return list(found.values())


def points(ws: Workspace, settings: ScalingSettings) -> list[Point]:
    """What came of each part of a study so far."""
    return [_point(ws, settings, tune) for tune in finetune_orders(ws, settings)]


def _point(ws: Workspace, settings: ScalingSettings, tune: FinetuneSettings) -> Point:
    model = None
    with suppress(GlanError):
        model = tuned_model_store.read_model(ws, tune.name)
    loss = model and model.losses.get("validation")
    found = None
    if model and settings.judge is not None:
        with suppress(GlanError):
            if match := match_rows.match(ws.db, match_setup(ws, judge_order(settings, tune.name)).id):
                found = match_statistics.outcome(match_statistics.item_frame(ws, match))
    if found is None:
        return Point(tune.rows, tune.name, loss, None, None, None, 0)
    return Point(tune.rows, tune.name, loss, found.difference, found.low, found.high, found.judged)


def loss_curve(found: Sequence[Point]) -> Curve | None:
    """A power law through the losses, L(n) = c + a n^-b (Kaplan et al., arXiv 2001.08361, with an irreducible part as in Hoffmann
    et al., arXiv 2203.15556), by least squares; a line in log n where points are few. None for fewer than 2."""
    return _curve([(p.rows, p.loss) for p in found if p.loss is not None], law=True)


def score_curve(found: Sequence[Point]) -> Curve | None:
    """A line in log n through the score differences; None for fewer than 2 points, and where all are equal."""
    return _curve([(p.rows, p.difference) for p in found if p.difference is not None], law=False)


def _curve(known: list[tuple[int, float]], law: bool) -> Curve | None:
    if len({y for _, y in known}) < 2:
        return None
    n, y = (np.array(column, float) for column in zip(*known, strict=True))
    if law and len(known) >= FEWEST_FOR_LAW and (curve := _power_law(n, y)):
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
    except (RuntimeError, ValueError):  # it found none
        return None
    return Curve(f"{c:.2f} + {a:.2f} / n^{b:.2f}", lambda rows: law(np.asarray(rows, float), c, a, b), _r2(y, law(n, c, a, b)))


def _r2(y: np.ndarray, fitted: np.ndarray) -> float:
    spread = float(((y - y.mean()) ** 2).sum())
    return 1.0 - float(((y - fitted) ** 2).sum()) / spread if spread else 1.0


def _model(ws: Workspace, tune: FinetuneSettings) -> TunedModel | None:
    """The model of a part, where it was trained; GlanError when another one has its name."""
    if not tuned_model_store.folder_of(ws, tune.name).exists():
        return None
    model = tuned_model_store.read_model(ws, tune.name)
    if {**model.settings, "name": ""} != {**tune.model_dump(mode="json"), "name": ""}:
        raise GlanError(
            f"There is already a model {quoted(tune.name)} that was trained otherwise: choose another name for the study, or remove it."
        )
    return model


def _see_through(ws: Workspace, settings: Settings, title: str, progress: Progress) -> None:
    """Have a run of its own carry out an order, and wait for its end; one that was begun before is taken up again.

    When the study is paused or cancelled, so is that run. GlanError when it fails.
    """
    run_id = _begun(ws, settings)
    if run_id is None:
        run_id = launcher.start(ws, settings.kind, title, settings)
    elif state_of(get(ws, run_id)) not in LIVE:
        launcher.resume(ws, run_id)
    while (state := state_of(get(ws, run_id))) in LIVE:
        if progress.wish:
            with suppress(GlanError):  # it has just ended
                (launcher.pause if progress.wish == PAUSED else launcher.cancel)(ws, run_id)
            raise Stopped(progress.wish)
        time.sleep(LOOK_SECONDS)
    if state != "finished":
        raise GlanError(f"Run {run_id} of the study is {state}: {get(ws, run_id).message or 'see its page'}")


def _begun(ws: Workspace, settings: Settings) -> int | None:
    """The newest run with this very order that did not come to its end."""
    params = settings.model_dump(mode="json")
    same = (run for run in run_rows.runs(ws.db, MOST_RUNS) if run.kind == settings.kind and run.params == params)
    return next((run.id for run in same if state_of(run) != "finished"), None)


def _said(settings: ScalingSettings, found: Sequence[Point]) -> str:
    first, last = found[0], found[-1]
    parts = [f"{settings.name}: {plural(len(found), 'model')} on {number(first.rows)} to {number(last.rows)} rows"]
    if first.loss is not None and last.loss is not None:
        parts.append(f"held-out loss {first.loss:.3f} to {last.loss:.3f}")
    if first.difference is not None and last.difference is not None:
        parts.append(f"score difference {first.difference:+.2f} to {last.difference:+.2f}")
    return "; ".join(parts) + "."
