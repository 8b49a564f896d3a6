"""Contamination probe job: tests whether a model finds a benchmark's training split easier than its test split.

For each model, the mean loss on both splits gives delta = L_test - L_train and delta% = delta / L_test (GLAN, arXiv
2402.13064, section 3.4). A large positive delta indicates that the training split was seen. With newly written look-alikes,
L_test - L_alike well below 0 indicates that the test split was seen (Wei et al., arXiv 2310.19341). Intervals are bootstrapped
over rows. Results are stored by `workspace.probe_rows`.
"""

import gc
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glan_core.errors import GlanError
from glan_core.evaluation.contamination import token_loss
from glan_core.evaluation.contamination.benchmark_texts import ROLES, ProbeTexts, check_pair, is_local, read_texts, source_label
from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.evaluation.contamination.token_loss import RowLoss, TokenizedText
from glan_core.formatting import plural
from glan_core.models import server_client
from glan_core.models.model_specs import ResolvedModel, model_title, resolve_model
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, probe_rows

if TYPE_CHECKING:
    from glan_core.models.weights_cache import WeightsCache

FOLDER = "probes"  # workspace folder of row losses, one file per weights and texts
RESAMPLES, LEVEL = 2000, 95  # of the bootstrap; percent
CHUNK = 4_000_000  # random numbers per block
COVERS = {
    "answer": "answer tokens, given the question", "question": "question tokens", "both": "question and answer tokens",
}  # fmt: skip
WRITTEN = {
    "plain": "plain text: question, line break, answer",
    "chat": "the model's chat template, with the end token of the answer",
}


@dataclass(frozen=True, slots=True)
class SplitLoss:
    """Losses on a file.

    Attributes:
        mean: Mean nats per covered token, each row weighted equally.
        token_mean: Mean nats per covered token, each token weighted equally.
        rows: Rows with covered tokens.
        cut: Rows truncated at the length limit.
        left_out: Rows without covered tokens.
        tokens: Covered tokens.
        bits_per_byte: Loss per UTF-8 byte of the covered text, comparable between tokenizers.
    """

    mean: float
    token_mean: float
    rows: int
    cut: int
    left_out: int
    tokens: int
    bits_per_byte: float | None = None


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What a probe would read.

    Attributes:
        rows: Sampled rows per file.
        held: Usable rows per file.
        empty: Rows without question or answer per file.
        shared: Questions in both splits.
        models: Model specifications.
        covers: Covered tokens, in words.
        written: Text format, in words.
    """

    rows: Mapping[str, int]
    held: Mapping[str, int]
    empty: Mapping[str, int]
    shared: int
    models: tuple[str, ...]
    covers: str
    written: str


def plan_probe(ws: Workspace, settings: ProbeSettings) -> ProbePlan:
    """Return what a probe would read.

    Raises:
        GlanError: If a model does not exist, or a file is missing, damaged or lacks columns.
    """
    for spec in settings.models:
        resolve_model(ws, spec)
    texts = _read(settings)
    return ProbePlan(
        {role: len(one.rows) for role, one in texts.items()}, {role: one.number for role, one in texts.items()},
        {role: one.empty for role, one in texts.items()}, check_pair(texts["train"], texts["test"]), settings.models,
        COVERS[settings.covers], WRITTEN[settings.written],
    )  # fmt: skip


def check_probe(ws: Workspace, settings: ProbeSettings) -> None:
    """Check a probe without accessing the Hub.

    Raises:
        GlanError: If a model does not exist, or a local file is missing, damaged or lacks columns.
    """
    for spec in settings.models:
        resolve_model(ws, spec)
    texts = {
        role: read_texts(file, role, answers=settings.covers != "question", sample=settings.sample, seed=settings.seed)
        for role, file in settings.files.items()
        if is_local(file)
    }
    if {"train", "test"} <= set(texts):
        check_pair(texts["train"], texts["test"])


def run_probe(ws: Workspace, settings: ProbeSettings, progress: Progress) -> str:
    """Probe the models one after the other.

    Losses measured before with the same weights and tokens are reused, and row losses are stored during the run: after a pause
    or a kill it resumes from there.

    Returns:
        One sentence about the result.
    """
    panes = {spec: resolve_model(ws, spec) for spec in settings.models}
    texts = _read(settings)
    shared = check_pair(texts["train"], texts["test"])
    from glan_core.models.weights_cache import WeightsCache

    cache, measured = WeightsCache(), 0
    for pane in panes.values():
        with _readable_errors():
            measured += _ModelProbe(ws, settings, progress, cache, pane).run(texts, shared)
    known = len(panes) - measured
    seen = [row for row in probe_rows.latest(probe_rows.probes(ws.db, settings.name)) if row.model in panes]
    most = max(seen, key=lambda row: row.delta_percent)
    summary = f"Probed {settings.name} with {plural(measured, 'model')}" + (f", {known} already known" if known else "")
    return f"{summary}: the largest delta is {most.delta_percent:+z.1f}% ({model_title(most.model)})."


def _read(settings: ProbeSettings) -> dict[str, ProbeTexts]:
    return {
        role: read_texts(file, role, answers=settings.covers != "question", sample=settings.sample, seed=settings.seed)
        for role, file in settings.files.items()
    }


@dataclass(frozen=True)
class _ModelProbe:
    """The probe of one model."""

    ws: Workspace
    settings: ProbeSettings
    progress: Progress
    cache: "WeightsCache"
    model: ResolvedModel

    def run(self, texts: Mapping[str, ProbeTexts], shared: int) -> bool:
        """Measure the model and store the result; return whether there was anything to measure."""
        from glan_core.models.weights_cache import cached_hash, find_weights, open_tokenizer

        settings, model = self.settings, self.model
        base = find_weights(model.base)
        weights = "+".join(cached_hash(folder) for folder in (base, *([Path(model.adapter)] if model.adapter else [])))
        tokenizer = open_tokenizer(model.tokenizer or str(base))
        limit = min(settings.max_length, _context(base))
        covered = {role: token_loss.tokenize_rows(one.rows, tokenizer, settings, limit) for role, one in texts.items()}
        keys = {role: token_loss.loss_key(weights, rows) for role, rows in covered.items()}
        key = "-".join(keys.values())
        probes = probe_rows.probes(self.ws.db, settings.name)
        known = next((row for row in probes if row.model == model.spec and row.key == key), None)
        if known:
            with self.ws.write() as db:
                probe_rows.touch_probe(db, known.id)
            return False
        for role, rows in covered.items():
            if not any(row.covered for row in rows):
                raise GlanError(
                    f"No covered tokens of the {ROLES[role]} are left within {limit:,} tokens. Raise the max length, or cover the "
                    "question."
                )
        found, precision = self._losses(covered, keys)
        splits = {role: _split(covered[role], found[role]) for role in covered}
        about = _about(settings, texts, splits, found) | {
            "key": key, "keys": keys, "shared": shared, "limit": limit, "precision": precision,
            "template": None if settings.written == "plain" else "its own" if tokenizer.chat_template else "Alpaca's",
        }  # fmt: skip
        alike = splits["alike"].mean if "alike" in splits else None
        losses = (splits["train"].mean, splits["test"].mean, alike)
        with self.ws.write() as db:
            probe_rows.put_probe(
                db, model=model.spec, weights_hash=weights, name=settings.name, losses=losses, about=about,
                run_id=self.progress.run_id,
            )  # fmt: skip
        return True

    def _losses(
        self, covered: Mapping[str, Sequence[TokenizedText]], keys: Mapping[str, str]
    ) -> tuple[dict[str, dict[int, RowLoss]], str]:
        """Return row losses by file and their precision; weights are loaded only if some losses are missing."""
        files = {role: self.ws.folder / FOLDER / f"{key}.jsonl" for role, key in keys.items()}
        known = {role: token_loss.stored_losses(file) for role, file in files.items()}
        if all(nth in known[role] for role, rows in covered.items() for nth, row in enumerate(rows) if row.covered):
            return {
                role: {nth: known[role][nth] for nth, row in enumerate(covered[role]) if row.covered} for role in covered
            }, ""
        from glan_core.models.weights_cache import attach_adapter

        server_client.try_release()  # frees the memory of chat models
        title = model_title(self.model.spec)
        self.progress.step(f"loading {title}", 0, 1)
        with self.cache.acquire(self.model) as held, held.lock:
            attach_adapter(held, self.model)
            self.progress.step(f"loading {title}", 1, 1)
            name = held.adapter_name(self.model.adapter)
            found: dict[str, dict[int, RowLoss]] = {}

            def predict(ids: Any, mask: Any) -> Any:
                adapters = {} if name is None else {"adapter_names": [name] * len(ids)}
                at = held.model.device
                return held.model(input_ids=ids.to(at), attention_mask=mask.to(at), use_cache=False, **adapters).logits

            vocabulary = int(held.model.config.get_text_config().vocab_size)
            for role, rows in covered.items():
                step = partial(self.progress.step, f"{ROLES[role]} read by {title}")
                found[role] = token_loss.compute_losses(rows, predict, vocabulary, files[role], step)
            return found, held.dtype


def _split(rows: Sequence[TokenizedText], losses: Mapping[int, RowLoss]) -> SplitLoss:
    nats, tokens = sum(losses[nth].nats for nth in sorted(losses)), sum(loss.tokens for loss in losses.values())
    size = sum(rows[nth].bytes for nth in losses)
    return SplitLoss(
        float(_means(losses).mean()), nats / tokens, len(losses), sum(row.cut for row in rows),
        len(rows) - len(losses), tokens, nats / (size * math.log(2)) if size else None,
    )  # fmt: skip


def _means(losses: Mapping[int, RowLoss]) -> np.ndarray:
    """Return the loss of each row, in row order."""
    return np.array([losses[nth].mean for nth in sorted(losses)])


def _about(
    settings: ProbeSettings,
    texts: Mapping[str, ProbeTexts],
    splits: Mapping[str, SplitLoss],
    losses: Mapping[str, Mapping[int, RowLoss]],
) -> dict:
    means = {role: _means(rows) for role, rows in losses.items()}
    intervals = {
        "delta": delta_interval(means["test"], means["train"], settings.seed),
        "delta_percent": delta_interval(means["test"], means["train"], settings.seed, percent=True),
    }
    if "alike" in means:
        intervals["delta_alike"] = delta_interval(means["test"], means["alike"], settings.seed)
    return {
        "covers": settings.covers, "covers_said": COVERS[settings.covers], "written": settings.written, "written_said": WRITTEN[settings.written],
        "unit": "nats a token", "splits": {role: asdict(split) for role, split in splits.items()},
        "files": {role: {
            "source": one.source, "label": source_label(settings.files[role]), "sha256": one.sha256, "rows_sha256": one.rows_sha256,
            "held": one.number, "empty": one.empty, "written_by": list(one.written_by),
        } for role, one in texts.items()},
        "intervals": intervals, "bootstrap": {"resamples": RESAMPLES, "level": LEVEL, "seed": settings.seed},
        "sample": settings.sample, "seed": settings.seed, "max_length": settings.max_length,
    }  # fmt: skip


def delta_interval(test: np.ndarray, other: np.ndarray, seed: int = 0, *, percent: bool = False) -> tuple[float, float] | None:
    """Return the 95% bootstrap interval of mean(test) - mean(other).

    Args:
        test: Losses of the test rows.
        other: Losses of the other rows.
        seed: Seed of the resamples.
        percent: Return the difference relative to mean(test), in percent.

    Returns:
        (low, high), or None if either side has fewer than two rows.

    Source: Efron, 1979 (percentile method).
    """
    test, other = np.asarray(test, float), np.asarray(other, float)
    if min(len(test), len(other)) < 2:
        return None
    rng = np.random.default_rng(seed)
    tests, others = _resampled(test, rng), _resampled(other, rng)
    deltas = tests - others
    if percent:
        deltas = 100 * deltas / np.where(tests == 0, np.inf, tests)
    low, high = np.percentile(deltas, ((100 - LEVEL) / 2, (100 + LEVEL) / 2))
    return float(low), float(high)


def _resampled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the means of `RESAMPLES` draws with replacement."""
    step = max(1, CHUNK // len(values))
    sizes = [min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step)]
    return np.concatenate([values[rng.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes])


def _context(folder: Path) -> int:
    """Return the context length of a model from its config.json."""
    with suppress(OSError, ValueError, TypeError, AttributeError):  # unreadable, no JSON, no object
        most = json.loads((folder / "config.json").read_text("utf-8")).get("max_position_embeddings")
        if isinstance(most, int) and most > 1:
            return most
    return 2**31


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Convert errors while loading or running weights into one sentence."""
    import torch

    from glan_core.models.weights_cache import ModelUnavailable

    try:
        yield
    except ModelUnavailable as fault:
        raise GlanError(str(fault)) from None
    except (MemoryError, torch.OutOfMemoryError):
        raise GlanError("The texts do not fit into memory. Use a shorter max length or a smaller model.") from None
    finally:
        gc.collect()
