"""Estimates of a plan: tokens and speed of calls as ranges, from a teacher's own calls where the workspace has them.

A range spans at most a factor of three. It is centered on the geometric mean of its ends, because the errors of counts, tokens and
speed multiply.
"""

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import apsw

from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.homework.question_parsing import parse_question
from glan_core.workspace import Workspace, call_rows
from glan_core.workspace.homework_rows import SCRIPTED

WIDEST = 3.0  # upper end of a range, relative to its lower end
MIN_CALLS = 20  # calls of a teacher in a stage from which its averages alone are used
PRIOR_CALLS = 3  # weight of the typical values beside fewer calls
OWN_MARGIN, FEW_MARGIN, TYPICAL_MARGIN = 1.25, 1.5, 1.7  # factors by which tokens per call may be off
SPEED_MARGIN = math.sqrt(WIDEST)
TOKENS_PER_SECOND = 60  # shown per call where a teacher has no calls; the time of a run is unknown then
START_SECONDS = 0.1  # start and end of a run, measured
ENGINE_SECONDS = 0.0015  # of the engine per call of an endpoint, measured (benchmarks/estimates.py)
ENGINE_FACTOR = 1.4  # time of a run relative to calls at the allowed concurrency, measured likewise
# Tokens per call of the scripted teacher, measured over textbook and placeholder disciplines (benchmarks/estimates.py).
SCRIPTED_TOKENS = {
    "subject_list": (202, 360), "subjects": (660, 190), "syllabus": (266, 950), "sessions": (1100, 600), "question": (1250, 75),
    "answer": (75, 165),
}  # fmt: skip
LOCAL = "local:"  # prefix of the names of local weights
NEARLY_CUT = 0.85  # mean length of replies relative to their limit from which most of them were cut
SCRIPTED_WORK = 62  # time of a call of the in-process scripted teacher relative to `_measured_work`, measured
SCRIPTED_START = 1.0  # seconds to read its textbook, measured


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """What a call of a teacher in a stage takes.

    Attributes:
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
        seconds: Latency in seconds.
        margin: Factor by which the tokens may be off in either direction.
        known: Whether the averages of the teacher alone were used.
        timed: Whether the latency was measured.
    """

    tokens_in: float
    tokens_out: float
    seconds: float
    margin: float
    known: bool
    timed: bool


class TokenLimit(NamedTuple):
    """Most completion tokens of a call.

    Attributes:
        most: The limit.
        earlier: The limit of the earlier calls that averages are taken from, None if unknown.
    """

    most: int
    earlier: int | None = None


def estimate_call(ws: Workspace, teacher: str, stage: str, limit: TokenLimit | None = None) -> CallEstimate:
    """Estimate a call from the averages of the teacher in the stage, blended with typical values below 20 calls.

    The latency of a stage without calls follows from the speed of the teacher in other stages, and that of local weights without
    any call from the speed of the other local weights of the workspace.

    Args:
        ws: Workspace.
        teacher: Teacher of the stage.
        stage: Stage.
        limit: Token limit. It shortens the calls; if earlier ones were cut at a lower limit, the typical length is used.
    """
    found = _estimate_call(ws, teacher, stage)
    if limit is None:
        return found
    typical_out = STAGE_SPECS[stage].typical_tokens[1]
    tokens_out = found.tokens_out
    if limit.earlier and limit.most > limit.earlier and tokens_out > NEARLY_CUT * limit.earlier:
        tokens_out = max(tokens_out, typical_out)
    tokens_out = min(tokens_out, limit.most)
    return replace(found, tokens_out=tokens_out, seconds=found.seconds * tokens_out / max(1.0, found.tokens_out))


def _estimate_call(ws: Workspace, teacher: str, stage: str) -> CallEstimate:
    averages = call_rows.stage_averages(ws.db, teacher)
    if not averages and teacher.startswith(LOCAL):
        averages = {
            f"{stage} of others": values for stage, values in call_rows.stage_averages(ws.db, LOCAL, prefix=True).items()
        }
    typical_in, typical_out = STAGE_SPECS[stage].typical_tokens
    if teacher in SCRIPTED:
        typical_in, typical_out = SCRIPTED_TOKENS.get(stage, (typical_in, typical_out))
    timed = [values for values in averages.values() if values[2]]  # calls in batches have no latency of their own
    measured_out, measured_seconds = (sum(values[n] * values[3] for values in timed) for n in (1, 2))
    speed = measured_out / measured_seconds if measured_out and measured_seconds else None
    if stage not in averages:
        seconds = typical_out / speed if speed else 0.5 + typical_out / TOKENS_PER_SECOND
        return CallEstimate(typical_in, typical_out, seconds, TYPICAL_MARGIN, known=False, timed=speed is not None)
    tokens_in, tokens_out, seconds, calls = averages[stage]
    measured = teacher in SCRIPTED or seconds > 0
    if not measured:
        seconds = tokens_out / speed if speed else 0.5 + tokens_out / TOKENS_PER_SECOND
    is_timed = measured or speed is not None
    if calls >= MIN_CALLS:
        return CallEstimate(tokens_in, tokens_out, seconds, OWN_MARGIN, known=True, timed=is_timed)
    blend = lambda own, typical: (own * calls + typical * PRIOR_CALLS) / (calls + PRIOR_CALLS)  # noqa: E731
    return CallEstimate(
        blend(tokens_in, typical_in), blend(tokens_out, typical_out), seconds, FEW_MARGIN, known=False, timed=is_timed
    )  # fmt: skip


def spread(low: float, high: float, margin: float) -> tuple[float, float]:
    """Widen a range by a factor that its values may be off, to at most a factor of three.

    The logarithms of both widths are added in squares, as for independent errors.
    """
    if low <= 0:
        return 0.0, high * margin
    half = min(math.hypot(math.log(high / low) / 2, math.log(margin)), math.log(WIDEST) / 2)
    center = math.sqrt(low * high)
    return center * math.exp(-half), center * math.exp(half)


@lru_cache(1)
def scripted_call_seconds() -> float:
    """Measure the time of a call of the in-process scripted teacher on this machine; once per process, some milliseconds."""
    return SCRIPTED_WORK * min(_measured_work() for _ in range(3))


def _measured_work() -> float:
    """Return the time of the checks and writes that a call consists of, in seconds."""
    text = "Explain how a triad is built from a major scale, and name the notes of the triad on its fifth degree. " * 3
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, text TEXT)")
    begun = time.perf_counter()
    for _ in range(20):
        parse_question(text)
        db.execute("INSERT INTO calls (text) VALUES (?)", (text,))
    return (time.perf_counter() - begun) / 20
