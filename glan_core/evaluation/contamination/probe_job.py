"""The contamination probe: does a model find a benchmark's training split easier than its test split?

For each model the mean loss on both splits, delta = L_test - L_train and delta% = delta / L_test (GLAN, arXiv 2402.13064,
section 3.4); a large positive delta says that the training split was seen. Where there are freshly written look-alikes, L_test -
L_alike as well (Wei et al., arXiv 2310.19341): well below 0 says that the test split was seen. Intervals are bootstrapped over
rows. The runs of models in their process only; what was measured is in `workspace.probe_rows`.
"""

import gc
import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from glan_core.errors import GlanError
from glan_core.evaluation.contamination import token_loss
from glan_core.evaluation.contamination.benchmark_texts import ROLES, Texts, check_pair, is_local, label_of, read_texts
from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.evaluation.contamination.token_loss import Covered, Loss
from glan_core.formatting import plural
from glan_core.models import server_client as chat_process
from glan_core.models.model_specs import Pane, pane_of, title_of
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, probe_rows

FOLDER = "probes"  # of a workspace: the losses of rows, a file for weights and texts
RESAMPLES, LEVEL = 2000, 95  # of the bootstrap; percent
CHUNK = 4_000_000  # numbers drawn at a time
COVERS = {
    "answer": "the tokens of the answer, given the question", "question": "the tokens of the question",
    "both": "the tokens of question and answer",
}  # fmt: skip
WRITTEN = {
    "plain": "plain text: the question, a line break, the answer",
    "chat": "the model's chat template, with the token that ends the answer",
}


@dataclass(frozen=True, slots=True)
class Split:
    """What was measured on a file: mean nats a covered token where each row counts the same and where each token does, rows that
    count, rows cut at the length limit, rows left out because nothing covered was left of them, covered tokens."""

    mean: float
    token_mean: float
    rows: int
    cut: int
    left_out: int
    tokens: int


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What an order would do: of each file its rows, what was asked of all and how many are empty, and how many questions both
    splits hold."""

    rows: Mapping[str, int]
    held: Mapping[str, int]
    empty: Mapping[str, int]
    shared: int
    models: tuple[str, ...]
    covers: str
    written: str


def plan(ws: Workspace, settings: ProbeSettings) -> ProbePlan:
    """What an order would read; GlanError for all that can be known to be wrong before weights are loaded: no such model, a file
    that is missing, broken or without the columns."""
    for spec in settings.models:
        pane_of(ws, spec)
    texts = _read(settings)
    return ProbePlan(
        {role: len(one.rows) for role, one in texts.items()}, {role: one.number for role, one in texts.items()},
        {role: one.empty for role, one in texts.items()}, check_pair(texts["train"], texts["test"]), settings.models,
        COVERS[settings.covers], WRITTEN[settings.written],
    )  # fmt: skip


def check(ws: Workspace, settings: ProbeSettings) -> None:
    """GlanError for what is wrong with an order as far as this machine can tell at once: what is only on the Hub is not asked
    for."""
    for spec in settings.models:
        pane_of(ws, spec)
    texts = {
        role: read_texts(file, role, answers=settings.covers != "question", sample=settings.sample, seed=settings.seed)
        for role, file in settings.files.items()
        if is_local(file)
    }
    if {"train", "test"} <= set(texts):
        check_pair(texts["train"], texts["test"])


def run_probe(ws: Workspace, settings: ProbeSettings, progress: Progress) -> str:
    """Measure all models of an order, one after the other; what came of it, in a sentence.

    Weights that were measured on the same tokens before are not loaded again, and losses of rows are kept on the way: after a
    pause or a kill the run goes on from there.
    """
    panes = {spec: pane_of(ws, spec) for spec in settings.models}
    texts = _read(settings)
    shared = check_pair(texts["train"], texts["test"])
    from glan_core.models.weights_cache import WeightsCache

    shelf, measured = WeightsCache(), 0
    for spec, pane in panes.items():
        with _plainly():
            measured += _probe(ws, settings, progress, shelf, spec, pane, texts, shared)
    known = len(panes) - measured
    seen = [row for row in probe_rows.latest(probe_rows.probes(ws.db, settings.name)) if row.model in panes]
    most = max(seen, key=lambda row: row.delta_percent)
    said = f"Probed {settings.name} with {plural(measured, 'model')}" + (f", {known} known already" if known else "")
    return f"{said}: the largest delta is {most.delta_percent:+z.1f} % ({title_of(most.model)})."


def _read(settings: ProbeSettings) -> dict[str, Texts]:
    return {
        role: read_texts(file, role, answers=settings.covers != "question", sample=settings.sample, seed=settings.seed)
        for role, file in settings.files.items()
    }


def _probe(
    ws: Workspace, settings: ProbeSettings, progress: Progress, shelf: object, spec: str, pane: Pane, texts: Mapping[str, Texts], shared: int
) -> bool:  # fmt: skip
    """Measure one model and keep the result; whether there was something to do."""
    from glan_core.models.weights_cache import hash_of, located, open_tokenizer

    base = located(pane.base)
    weights = "+".join(hash_of(folder) for folder in (base, *([Path(pane.adapter)] if pane.adapter else [])))
    tokenizer = open_tokenizer(pane.tokenizer or str(base))
    limit = min(settings.max_length, _context(base))
    covered = {role: token_loss.cover(one.rows, tokenizer, settings, limit) for role, one in texts.items()}
    keys = {role: token_loss.key_of(weights, rows) for role, rows in covered.items()}
    key = "-".join(keys.values())
    known = next((row for row in probe_rows.probes(ws.db, settings.name) if row.model == spec and row.key == key), None)
    if known:
        with ws.write() as db:
            probe_rows.touch_probe(db, known.id)
        return False
    for role, rows in covered.items():
        if not any(row.covered for row in rows):
            raise GlanError(
                f"Nothing of the {ROLES[role]} is left within {limit:,} tokens: raise the length limit, or cover the question."
            )
    found, precision = _measured(ws, progress, shelf, spec, pane, covered, keys)
    splits = {role: _split(covered[role], found[role]) for role in covered}
    about = _about(settings, texts, splits, found) | {
        "key": key, "keys": keys, "shared": shared, "limit": limit, "precision": precision,
        "template": None if settings.written == "plain" else "its own" if tokenizer.chat_template else "Alpaca's",
    }  # fmt: skip
    losses = tuple(splits[role].mean if role in splits else None for role in ROLES)
    with ws.write() as db:
        probe_rows.put_probe(
            db, model=spec, weights_hash=weights, name=settings.name, losses=losses, about=about, run_id=progress.run_id
        )
    return True


def _measured(
    ws: Workspace, progress: Progress, shelf: object, spec: str, pane: Pane, covered: Mapping[str, Sequence[Covered]],
    keys: Mapping[str, str],
) -> tuple[dict[str, dict[int, Loss]], str]:  # fmt: skip
    """The losses of every row by file, and the precision they were computed in; weights are loaded where some are missing."""
    files = {role: ws.folder / FOLDER / f"{key}.jsonl" for role, key in keys.items()}
    known = {role: token_loss.stored(file) for role, file in files.items()}
    if all(nth in known[role] for role, rows in covered.items() for nth, row in enumerate(rows) if row.covered):
        return {role: {nth: known[role][nth] for nth, row in enumerate(covered[role]) if row.covered} for role in covered}, ""
    from glan_core.models.weights_cache import attach

    chat_process.release()  # the models that are talked to give their memory to the probe
    said = f"loading {title_of(spec)}"
    progress.step(said, 0, 1)
    with shelf.taken(pane) as held, held.lock:
        attach(held, pane)
        progress.step(said, 1, 1)
        name, found = held.adapter_name(pane.adapter), {}

        def predict(ids: object, mask: object) -> object:
            of = {} if name is None else {"adapter_names": [name] * len(ids)}
            at = held.model.device
            return held.model(input_ids=ids.to(at), attention_mask=mask.to(at), use_cache=False, **of).logits

        vocabulary = int(held.model.config.get_text_config().vocab_size)
        for role, rows in covered.items():
            stage = f"{ROLES[role]} read by {title_of(spec)}"
            found[role] = token_loss.losses(
                rows, predict, vocabulary, files[role], lambda done, all, stage=stage: progress.step(stage, done, all)
            )
        return found, held.dtype


def _split(rows: Sequence[Covered], losses: Mapping[int, Loss]) -> Split:
    nats, tokens = sum(losses[nth].nats for nth in sorted(losses)), sum(loss.tokens for loss in losses.values())
    return Split(
        float(_means(losses).mean()), nats / tokens, len(losses), sum(row.cut for row in rows),
        len(rows) - len(losses), tokens,
    )  # fmt: skip


def _means(losses: Mapping[int, Loss]) -> np.ndarray:
    """The loss of each row, in the order of the rows, however it came to be known."""
    return np.array([losses[nth].mean for nth in sorted(losses)])


def _about(
    settings: ProbeSettings, texts: Mapping[str, Texts], splits: Mapping[str, Split], losses: Mapping[str, Mapping[int, Loss]]
) -> dict:
    means = {role: _means(rows) for role, rows in losses.items()}
    intervals = {
        "delta": interval(means["test"], means["train"], settings.seed),
        "delta_percent": interval(means["test"], means["train"], settings.seed, percent=True),
    }
    if "alike" in means:
        intervals["delta_alike"] = interval(means["test"], means["alike"], settings.seed)
    return {
        "covers": settings.covers, "covers_said": COVERS[settings.covers], "written": settings.written, "written_said": WRITTEN[settings.written],
        "unit": "nats a token", "splits": {role: asdict(split) for role, split in splits.items()},
        "files": {role: {
            "source": one.source, "label": label_of(settings.files[role]), "sha256": one.sha256, "rows_sha256": one.rows_sha256,
            "held": one.number, "empty": one.empty, "written_by": list(one.written_by),
        } for role, one in texts.items()},
        "intervals": intervals, "bootstrap": {"resamples": RESAMPLES, "level": LEVEL, "seed": settings.seed},
        "sample": settings.sample, "seed": settings.seed, "max_length": settings.max_length,
    }  # fmt: skip


def interval(
    test: Sequence[float], other: Sequence[float], seed: int = 0, *, percent: bool = False
) -> tuple[float, float] | None:
    """The 95 % interval of mean(test) - mean(other), or of that as a share of mean(test) in percent: rows of both are drawn anew
    with replacement 2,000 times (percentile bootstrap; Efron 1979). None where one has fewer than two rows."""
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
    """The means of `RESAMPLES` draws with replacement."""
    step = max(1, CHUNK // len(values))
    sizes = [min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step)]
    return np.concatenate([values[rng.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes])


def _context(folder: Path) -> int:
    """How many tokens a model can read at once, as its config.json has it."""
    with suppress(OSError, ValueError, TypeError):
        most = json.loads((folder / "config.json").read_text("utf-8")).get("max_position_embeddings")
        if isinstance(most, int) and most > 1:
            return most
    return 2**31


@contextmanager
def _plainly():
    """Says what keeps weights from being loaded or run in one sentence."""
    import torch

    from glan_core.models.weights_cache import PaneFault

    try:
        yield
    except PaneFault as fault:
        raise GlanError(str(fault)) from None
    except (MemoryError, torch.OutOfMemoryError):
        raise GlanError(
            "The memory does not suffice for these texts: lower the length limit, or choose a smaller model."
        ) from None
    finally:
        gc.collect()
