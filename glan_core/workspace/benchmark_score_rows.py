"""Benchmark scores of models."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields

import apsw

from glan_core.workspace.sql import from_row


@dataclass(frozen=True, slots=True)
class Score:
    """A model's score on a benchmark.

    Attributes:
        model: Name of the model.
        weights_hash: Hash of its weights.
        benchmark: Name of the benchmark.
        way: Evaluation method, such as generation or log-likelihood.
        part: Subset of the benchmark, '' for the whole.
        score: Score from 0 to 1.
        error: Standard error of the score, None if unknown.
        number: Number of rows evaluated.
        about: Evaluation settings: shots, filter, template, limit, data hash, lm-eval version and others. Scores with equal
            weights and settings are comparable.
        run_id: Run that computed the score.
        at: Time of the score in seconds since 1970.
    """

    model: str
    weights_hash: str
    benchmark: str
    way: str
    part: str
    score: float
    error: float | None
    number: int
    about: dict
    run_id: int | None
    at: float


COLUMNS = tuple(field.name for field in fields(Score))


def set_scores(db: apsw.Connection, scores: Iterable[Score]) -> None:
    """Store scores; earlier scores of the same model, weights and settings are replaced."""
    for score in scores:
        values = [settings_json(score.about) if name == "about" else getattr(score, name) for name in COLUMNS]
        db.execute(
            """DELETE FROM benchmark_scores WHERE model = ? AND weights_hash = ? AND benchmark = ? AND way = ? AND part = ?
               AND about = ?""",
            (score.model, score.weights_hash, score.benchmark, score.way, score.part, settings_json(score.about)),
        )
        db.execute(f"INSERT INTO benchmark_scores ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", values)


def scores_with_settings(db: apsw.Connection, weights_hash: str, benchmark: str, way: str, about: dict) -> list[Score]:
    """Return the scores of a benchmark with these weights and settings, under any model name."""
    return _read(
        db, "weights_hash = ? AND benchmark = ? AND way = ? AND about = ?", (weights_hash, benchmark, way, settings_json(about))
    )


def scores(db: apsw.Connection, benchmark: str | None = None, way: str | None = None, *, parts: bool = True) -> list[Score]:
    """Return scores, newest first.

    Args:
        db: The workspace database.
        benchmark: Only scores of this benchmark.
        way: Only scores of this evaluation method.
        parts: Whether to include scores of subsets.
    """
    return _read(
        db, "(?1 IS NULL OR benchmark = ?1) AND (?2 IS NULL OR way = ?2) AND (?3 OR part = '')", (benchmark, way, parts)
    )


def settings_json(about: dict) -> str:
    """Serialize settings in the form in which they are stored and compared."""
    return json.dumps(about, sort_keys=True, ensure_ascii=False)


def _read(db: apsw.Connection, where: str, values: tuple) -> list[Score]:
    rows = db.execute(f"SELECT {', '.join(COLUMNS)} FROM benchmark_scores WHERE {where} ORDER BY at DESC, id", values)
    return [from_row(Score, row, about=json.loads) for row in rows]
