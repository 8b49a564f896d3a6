"""Results of contamination probes: mean losses of a model on the splits of a benchmark."""

import json
import time
from dataclasses import dataclass

import apsw

from glan_core.workspace.sql import from_row


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """The mean losses of a model on the splits of a benchmark, in nats per covered token, each row weighted equally.

    Attributes:
        model: Name of the model.
        weights_hash: Hash of its weights; for an adapter, the hashes of base and adapter joined by '+'.
        name: Name of the benchmark.
        loss_train: Mean loss on the training split.
        loss_test: Mean loss on the test split.
        loss_alike: Mean loss on paraphrases of the test split, None if not computed.
        about: Token coverage ('covers'), text format ('written'), rows, truncated rows, files and hashes, confidence intervals
            and settings.
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
        """Loss on the test split minus loss on the training split.

        Source: GLAN, arXiv 2402.13064, section 3.4.
        """
        return self.loss_test - self.loss_train

    @property
    def delta_percent(self) -> float:
        """`delta` in percent of the loss on the test split."""
        return 100 * self.delta / self.loss_test if self.loss_test else 0.0

    @property
    def delta_alike(self) -> float | None:
        """Loss on the test split minus loss on paraphrases; well below 0 if the test split was seen in training.

        Source: Wei et al., arXiv 2310.19341.
        """
        return None if self.loss_alike is None else self.loss_test - self.loss_alike

    @property
    def basis(self) -> tuple:
        """What must be equal for models to be comparable: token coverage, text format and the rows of both splits."""
        files = self.about.get("files", {})
        rows = (files.get(role, {}).get("rows_sha256") for role in ("train", "test"))
        return self.about.get("covers"), self.about.get("written"), *rows

    @property
    def key(self) -> str:
        """Hash of the weights and tokens; probes with equal keys have equal results."""
        return self.about.get("key", "")


def put_probe(
    db: apsw.Connection, *, model: str, weights_hash: str, name: str, losses: tuple[float, float, float | None], about: dict,
    run_id: int | None,
) -> None:  # fmt: skip
    """Store a probe, replacing an earlier one of the same model, name and key.

    Args:
        db: The workspace database.
        model: Name of the model.
        weights_hash: Hash of its weights.
        name: Name of the benchmark.
        losses: Mean losses on the training split, the test split and paraphrases.
        about: Metadata, see `ProbeRow`.
        run_id: Run that computed the losses.
    """
    db.execute(
        "DELETE FROM probes WHERE model = ? AND name = ? AND json_extract(about, '$.key') = ?", (model, name, about.get("key"))
    )
    db.execute(
        """INSERT INTO probes (model, weights_hash, name, loss_train, loss_test, loss_alike, about, run_id, at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (model, weights_hash, name, *losses, json.dumps(about), run_id, time.time()),
    )


def probes(db: apsw.Connection, name: str | None = None) -> list[ProbeRow]:
    """Return the probes, newest first; with `name`, only those of one benchmark."""
    rows = db.execute(
        """SELECT id, model, weights_hash, name, loss_train, loss_test, loss_alike, about, run_id, at FROM probes
           WHERE ?1 IS NULL OR name = ?1 ORDER BY at DESC, id DESC""",
        (name,),
    )
    return [from_row(ProbeRow, row, about=json.loads) for row in rows]


def latest(rows: list[ProbeRow]) -> list[ProbeRow]:
    """Return the newest comparable probe per benchmark and model.

    Args:
        rows: Probes, newest first. Probes that are not comparable with the newest of their benchmark are skipped.
    """
    bases: dict[str, tuple] = {}
    found: dict[tuple[str, str], ProbeRow] = {}
    for row in rows:
        if bases.setdefault(row.name, row.basis) == row.basis:
            found.setdefault((row.name, row.model), row)
    return list(found.values())


def touch_probe(db: apsw.Connection, id: int) -> None:
    """Mark a probe as the newest, because the same probe was requested again."""
    db.execute("UPDATE probes SET at = ? WHERE id = ?", (time.time(), id))
