"""What contamination probes measured: the mean losses of a model on a benchmark's splits, a row a probe."""

import json
import time
from dataclasses import dataclass

import apsw


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """The mean losses of a model on the splits of what is called `name`, in nats a covered token, each row counting the same.

    `about` says how they came to be: which tokens the loss covers and how texts were written ('covers', 'written'), rows and cut
    rows, files with their hashes, intervals, settings. `weights_hash` is of the weights, of a base and its adapter joined by '+'.
    """

    id: int
    model: str
    weights_hash: str
    name: str
    loss_train: float
    loss_test: float
    loss_alike: float | None
    about: dict
    run_id: int | None
    at: float

    @property
    def delta(self) -> float:
        """Loss on the test split minus loss on the training split (GLAN, arXiv 2402.13064, section 3.4)."""
        return self.loss_test - self.loss_train

    @property
    def delta_percent(self) -> float:
        """The delta as a share of the loss on the test split, in percent."""
        return 100 * self.delta / self.loss_test if self.loss_test else 0.0

    @property
    def delta_alike(self) -> float | None:
        """Loss on the test split minus loss on fresh look-alikes (Wei et al., arXiv 2310.19341): well below 0 where the test
        split was seen."""
        return None if self.loss_alike is None else self.loss_test - self.loss_alike

    @property
    def basis(self) -> tuple:
        """What must be the same for models to be compared: which tokens count, how texts are written, the rows of both splits."""
        files = self.about.get("files", {})
        rows = (files.get(role, {}).get("rows_sha256") for role in ("train", "test"))
        return self.about.get("covers"), self.about.get("written"), *rows

    @property
    def key(self) -> str:
        """What was measured, exactly: the same key is the same weights on the same tokens."""
        return self.about.get("key", "")


def put_probe(
    db: apsw.Connection, *, model: str, weights_hash: str, name: str, losses: tuple[float, float, float | None], about: dict,
    run_id: int | None,
) -> None:  # fmt: skip
    """Store a probe in the place of an earlier one of the same model, name and key; `losses` on train, test and look-alikes."""
    db.execute(
        "DELETE FROM probes WHERE model = ? AND name = ? AND json_extract(about, '$.key') = ?", (model, name, about.get("key"))
    )
    db.execute(
        """INSERT INTO probes (model, weights_hash, name, loss_train, loss_test, loss_alike, about, run_id, at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (model, weights_hash, name, *losses, json.dumps(about), run_id, time.time()),
    )


def probes(db: apsw.Connection, name: str | None = None) -> list[ProbeRow]:
    """All probes, or those of one name, newest first."""
    rows = db.execute(
        """SELECT id, model, weights_hash, name, loss_train, loss_test, loss_alike, about, run_id, at FROM probes
           WHERE ?1 IS NULL OR name = ?1 ORDER BY at DESC, id DESC""",
        (name,),
    )
    return [ProbeRow(*row[:7], json.loads(row[7]), *row[8:]) for row in rows]


def latest(rows: list[ProbeRow]) -> list[ProbeRow]:
    """Of rows that are newest first, the newest of every name and model, as far as they can be compared with the newest of their
    name: those of other rows or other tokens are passed over."""
    bases: dict[str, tuple] = {}
    found: dict[tuple[str, str], ProbeRow] = {}
    for row in rows:
        if bases.setdefault(row.name, row.basis) == row.basis:
            found.setdefault((row.name, row.model), row)
    return list(found.values())


def touch_probe(db: apsw.Connection, id: int) -> None:
    """Make a probe the newest: it was asked for again, and the same would be measured."""
    db.execute("UPDATE probes SET at = ? WHERE id = ?", (time.time(), id))


def remove_probes(db: apsw.Connection, name: str) -> None:
    """Forget all probes of a name."""
    db.execute("DELETE FROM probes WHERE name = ?", (name,))
