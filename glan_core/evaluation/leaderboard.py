"""Leaderboard: the newest evaluation results of every model."""

import pandas as pd

from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.match_setup import OTHER, OURS
from glan_core.evaluation.settings import REFERENCE
from glan_core.models.tuned_model_store import list_models
from glan_core.workspace import Workspace, benchmark_score_rows, match_rows, probe_rows

WAYS = ("generated", "probability")  # the paper extracts answers from generated text, so that takes precedence
COLUMNS = (
    "model",
    "title",
    "kind",
    "loss",
    "bits",
    "difference",
    "low",
    "high",
    "judged",
    "beside",
    "match",
    "delta_percent",
    "probe",
)


def leaderboard(ws: Workspace) -> pd.DataFrame:
    """Return one row per model: tuned models of the workspace first, newest first, then other tested models.

    Returns:
        Columns `COLUMNS` and two per benchmark: the score in percent, and its number of rows ('gsm8k rows'). `loss` is the
        validation loss on its own snapshot (nats per token), `bits` the same in bits per byte. `difference` is the mean
        score difference of the newest match with another model, else with the reference answers; `low` and `high` are its
        interval, `judged` its questions, `beside` the opponent, and `match` its ID. `delta_percent` is the largest delta of its
        contamination probes, named `probe`. None or NaN if not measured, or measured with other weights than the model has now.
    """
    found: dict[str, dict] = {}
    now: dict[str, str] = {}
    for model in list_models(ws):
        found[f"tuned:{model.name}"] = _row(f"tuned:{model.name}") | {
            "loss": model.losses.get("validation"), "bits": model.bits_per_byte,
        }  # fmt: skip
        now[f"tuned:{model.name}"] = model.weights_hash
    matches = [match for match in match_rows.matches(ws.db) if _is_current(match, now)]
    for match in matches:
        for spec in (match.ours, match.other):
            if spec != REFERENCE:
                found.setdefault(spec, _row(spec))
    scores = _benchmarks(ws, now)
    probes = [probe for probe in probe_rows.probes(ws.db) if now.get(probe.model, "") in probe.weights_hash]
    for spec in [*scores, *(probe.model for probe in probes)]:
        found.setdefault(spec, _row(spec))
    with_models_last = sorted(reversed(matches), key=lambda match: REFERENCE not in (match.ours, match.other))
    for (
        match
    ) in with_models_last:  # later ones win: the newest, but a match with another model before one with reference answers
        _add_match(ws, found, match)
    for probe in probes:
        row = found[probe.model]
        if row["delta_percent"] is None or probe.delta_percent > row["delta_percent"]:
            row |= {"delta_percent": probe.delta_percent, "probe": probe.name}
    for spec, by_benchmark in scores.items():
        found[spec] |= by_benchmark
    benchmarks = list(dict.fromkeys(name for by_benchmark in scores.values() for name in by_benchmark))
    return pd.DataFrame(list(found.values()), columns=[*COLUMNS, *benchmarks])


def _is_current(match: match_rows.Match, now: dict[str, str]) -> bool:
    """Return whether a match was about the current weights of its models; a name may have been reused."""
    sides = {match.ours: match.about.get("weights", {}).get(OURS), match.other: match.about.get("weights", {}).get(OTHER)}
    return all(spec not in now or not hashes or now[spec] in hashes.values() for spec, hashes in sides.items())


def _row(spec: str) -> dict:
    return dict.fromkeys(COLUMNS) | {"model": spec, "title": title(spec), "kind": spec.partition(":")[0]}


def _add_match(ws: Workspace, found: dict[str, dict], match: match_rows.Match) -> None:
    """Add the result of a match to the rows of its models."""
    try:
        what = match_statistics.outcome(match_statistics.item_frame(ws, match))
    except GlanError:  # the test was removed
        return
    if what.difference is None:
        return
    common = {"judged": what.judged, "match": match.id}
    interval = {"low": what.low, "high": what.high}
    found[match.ours] |= common | interval | {"difference": what.difference, "beside": title(match.other)}
    if match.other in found and match.other != match.ours:
        turned = {} if what.low is None or what.high is None else {"low": -what.high, "high": -what.low}
        found[match.other] |= common | interval | turned | {"difference": -what.difference, "beside": title(match.ours)}


def rows_column(benchmark: str) -> str:
    """Return the name of the column with the number of rows of a benchmark."""
    return f"{benchmark} rows"


def _benchmarks(ws: Workspace, now: dict[str, str]) -> dict[str, dict[str, float]]:
    """Return the newest score (percent) per model and benchmark for its current weights; generated answers take precedence."""
    found: dict[str, dict[str, float]] = {}
    scores = [s for s in benchmark_score_rows.scores(ws.db, parts=False) if now.get(s.model, "") in s.weights_hash]
    ranked = sorted(scores, key=lambda score: (WAYS.index(score.way), -score.at))
    for score in ranked:
        if score.benchmark not in found.setdefault(score.model, {}):
            found[score.model] |= {score.benchmark: 100 * score.score, rows_column(score.benchmark): score.number}
    return found
