"""Scores of models in benchmarks."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields

import apsw


@dataclass(frozen=True, slots=True)
class Score:
    """A model's score in a benchmark asked in one `way`, or in a `part` of it ('' for the whole).

    `score` is from 0 to 1, `error` its standard error (None where none is known), `number` the rows asked. `about` holds the
    settings: shots, filter, template, limit, the hash of the data, lm-eval's version, and more; scores whose weights and settings
    are the same can be compared.
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


NAMES = tuple(field.name for field in fields(Score))


def set_scores(db: apsw.Connection, scores: Iterable[Score]) -> None:
    """Store the scores of one benchmark in one way; those of the same model, weights and settings make room."""
    for score in scores:
        values = [_stored(name, getattr(score, name)) for name in NAMES]
        db.execute(
            """DELETE FROM benchmark_scores WHERE model = ? AND weights_hash = ? AND benchmark = ? AND way = ? AND part = ?
               AND about = ?""",
            (score.model, score.weights_hash, score.benchmark, score.way, score.part, settings(score.about)),
        )
        db.execute(f"INSERT INTO benchmark_scores ({', '.join(NAMES)}) VALUES ({', '.join('?' * len(NAMES))})", values)


def stored(db: apsw.Connection, weights_hash: str, benchmark: str, way: str, about: dict) -> list[Score]:
    """What is stored of a benchmark with these weights and settings, under whichever names the model goes."""
    return _read(
        db, "weights_hash = ? AND benchmark = ? AND way = ? AND about = ?", (weights_hash, benchmark, way, settings(about))
    )


def scores(db: apsw.Connection, benchmark: str | None = None, way: str | None = None, *, parts: bool = True) -> list[Score]:
    """The scores, newest first, of a benchmark and in a way where these are given; without `parts` of whole benchmarks alone."""
    return _read(
        db, "(?1 IS NULL OR benchmark = ?1) AND (?2 IS NULL OR way = ?2) AND (?3 OR part = '')", (benchmark, way, parts)
    )


def settings(about: dict) -> str:
    """Settings as they are stored and compared."""
    return json.dumps(about, sort_keys=True, ensure_ascii=False)


def _stored(name: str, value: object) -> object:
    return settings(value) if name == "about" else value


def _read(db: apsw.Connection, where: str, values: tuple) -> list[Score]:
    rows = db.execute(f"SELECT {', '.join(NAMES)} FROM benchmark_scores WHERE {where} ORDER BY at DESC, id", values)
    return [Score(**dict(zip(NAMES, row, strict=True)) | {"about": json.loads(row[NAMES.index("about")])}) for row in rows]
