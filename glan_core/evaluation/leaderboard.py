"""The leaderboard: for every model what was measured of it, the newest of each."""

import pandas as pd

from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.match_setup import OTHER, OURS
from glan_core.evaluation.settings import REFERENCE
from glan_core.models.tuned_model_store import list_models
from glan_core.workspace import Workspace, benchmark_score_rows, match_rows, probe_rows

WAYS = ("generated", "probability")  # the paper extracts answers from generated text: where both are there, that counts
COLUMNS = ("model", "title", "kind", "loss", "difference", "low", "high", "judged", "beside", "match", "delta_percent", "probe")


def board(ws: Workspace) -> pd.DataFrame:
    """A row a model, those tuned here first, newest first, then whoever else was tested; the columns `COLUMNS` and one for each
    benchmark that any model was asked (percent).

    `loss` is that on the held-out rows of its own snapshot (nats a token); `difference` the mean score difference of its newest
    match (with its interval, the questions judged, whom it stood beside, and the match's id); `delta_percent` the largest of its
    contamination probes, called `probe`. NaN and None: not measured, or measured of other weights than the model has now.
    """
    found: dict[str, dict] = {}
    now: dict[str, str] = {}
    for model in list_models(ws):
        found[f"tuned:{model.name}"] = _row(f"tuned:{model.name}") | {"loss": model.losses.get("validation")}
        now[f"tuned:{model.name}"] = model.weights_hash
    matches = [match for match in match_rows.matches(ws.db) if _of_today(match, now)]
    for match in matches:
        for spec in (match.ours, match.other):
            if spec != REFERENCE:
                found.setdefault(spec, _row(spec))
    scores = _benchmarks(ws, now)
    probes = [probe for probe in probe_rows.probes(ws.db) if now.get(probe.model, "") in probe.weights_hash]
    for spec in [*scores, *(probe.model for probe in probes)]:
        found.setdefault(spec, _row(spec))
    for match in reversed(matches):  # the newest has the last word
        _take_match(ws, found, match)
    for probe in probes:
        row = found[probe.model]
        if row["delta_percent"] is None or probe.delta_percent > row["delta_percent"]:
            row |= {"delta_percent": probe.delta_percent, "probe": probe.name}
    for spec, by_benchmark in scores.items():
        found[spec] |= by_benchmark
    benchmarks = list(dict.fromkeys(name for by_benchmark in scores.values() for name in by_benchmark))
    return pd.DataFrame(list(found.values()), columns=[*COLUMNS, *benchmarks])


def _of_today(match: match_rows.Match, now: dict[str, str]) -> bool:
    """Whether a match was about the weights that its models have now: another model may have taken the name of one that is gone."""
    sides = {match.ours: match.about.get("weights", {}).get(OURS), match.other: match.about.get("weights", {}).get(OTHER)}
    return all(spec not in now or not hashes or now[spec] in hashes.values() for spec, hashes in sides.items())


def _row(spec: str) -> dict:
    return dict.fromkeys(COLUMNS) | {"model": spec, "title": title(spec), "kind": spec.partition(":")[0]}


def _take_match(ws: Workspace, found: dict[str, dict], match: match_rows.Match) -> None:
    """Put what a match came to into the row of the model that it was about."""
    try:
        what = match_statistics.outcome(match_statistics.item_frame(ws, match))
    except GlanError:  # its test was removed
        return
    if what.difference is None:
        return
    told = {"judged": what.judged, "match": match.id}
    interval = {"low": what.low, "high": what.high}
    found[match.ours] |= told | interval | {"difference": what.difference, "beside": title(match.other)}
    if match.other in found and match.other != match.ours:
        turned = {} if what.low is None else {"low": -what.high, "high": -what.low}
        found[match.other] |= told | interval | turned | {"difference": -what.difference, "beside": title(match.ours)}


def _benchmarks(ws: Workspace, now: dict[str, str]) -> dict[str, dict[str, float]]:
    """Model -> benchmark -> its newest score in percent, of generated answers where there are any, by the weights it has `now`."""
    found: dict[str, dict[str, float]] = {}
    scores = [s for s in benchmark_score_rows.scores(ws.db, parts=False) if now.get(s.model, "") in s.weights_hash]
    ranked = sorted(scores, key=lambda score: (WAYS.index(score.way), -score.at))
    for score in ranked:
        found.setdefault(score.model, {}).setdefault(score.benchmark, 100 * score.score)
    return found
