"""Benchmark texts: question and answer of each row, from benchmarks known by name or from files.

For multiple choice, the question is followed by its choices, one per line, and the answer is the right choice with its letter.
All errors in a file are raised here, before a model is loaded.
"""

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glan_core.dataset.benchmark_files import HUB_BENCHMARKS, HubBenchmark, load_from_hub, question_column, split_of
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.settings import ProbeFile
from glan_core.io.dataset_reader import stored_rows

# column names that usually hold the answer, most likely first
COLUMNS = (
    "answer", "solution", "completion", "response", "output", "target", "canonical_solution", "code", "answerkey", "label",
)  # fmt: skip
CHOICES = ("choices", "options", "endings")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ROLES = {"train": "training split", "test": "test split", "alike": "look-alikes"}
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ProbeBenchmark:
    """A benchmark on the Hub with a training and a test split.

    Attributes:
        hub: The benchmark on the Hub.
        answer: Column that holds the answer.
        splits: Split to read for each role.
    """

    hub: HubBenchmark
    answer: str
    splits: Mapping[str, str]


def _benchmark(name: str, answer: str, configs: tuple[str, ...] = (), label: str = "", train: str = "train") -> ProbeBenchmark:
    known = HUB_BENCHMARKS[name]
    hub = HubBenchmark(label or known.label, known.hub, configs or known.configs, ("train", "test"), known.column)
    return ProbeBenchmark(hub, answer, {"train": train, "test": "test", "alike": "test"})


BENCHMARKS: Mapping[str, ProbeBenchmark] = {
    "gsm8k": _benchmark("gsm8k", "answer"),
    "math": _benchmark("math", "solution"),
    "arc_easy": _benchmark("arc", "answerKey", ("ARC-Easy",), "ARC-E"),
    "arc_challenge": _benchmark("arc", "answerKey", ("ARC-Challenge",), "ARC-C"),
    "mbpp": _benchmark("mbpp", "code"),
    "mmlu": _benchmark("mmlu", "answer", train="auxiliary_train"),
}


@dataclass(frozen=True, slots=True)
class ProbeText:
    """A row to probe; `answer` is '' if only questions are used."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class ProbeTexts:
    """Sampled rows of a file.

    Attributes:
        source: Source as given in the settings.
        rows: Sampled rows.
        number: Usable rows in the file.
        empty: Rows without a question or answer.
        sha256: Hash of the file, '' for a folder or a Hub dataset.
        written_by: Teachers that wrote the rows, if stated.
    """

    source: str
    rows: tuple[ProbeText, ...]
    number: int
    empty: int
    sha256: str
    written_by: tuple[str, ...] = ()

    @property
    def rows_sha256(self) -> str:
        """Hash of the sampled rows in order."""
        return hashlib.sha256("\x1e".join(f"{row.question}\x1f{row.answer}" for row in self.rows).encode()).hexdigest()


def source_label(file: ProbeFile) -> str:
    """Return the display name of a source: the benchmark's label or the file name."""
    known = BENCHMARKS.get(file.source.lower())
    return known.hub.label if known else Path(file.source).expanduser().stem


def is_local(file: ProbeFile) -> bool:
    """Return whether a source is a local path, so that it is read without the Hub."""
    return file.source.lower() not in BENCHMARKS


def read_texts(file: ProbeFile, role: str, *, answers: bool = True, sample: int | None = None, seed: int = 0) -> ProbeTexts:
    """Return the rows of a source, or a seeded sample that does not depend on their order in the file.

    Args:
        file: Source.
        role: What the file is read as: 'train', 'test' or 'alike'.
        answers: Whether answers are needed.
        sample: Maximum number of rows.
        seed: Sampling seed.

    Raises:
        GlanError: If the source cannot be read, its columns are not recognized, or it has no usable row.
    """
    what = f"{source_label(file)} ({ROLES[role]})"
    rows: list[ProbeText] = []
    empty, teachers = 0, dict[str, bool]()
    read = _Reader(file, role, what, answers=answers)
    for row in _rows(file, role, what):
        text = read(row)
        if isinstance(teacher := row.get("teacher"), str):
            teachers[teacher] = True
        if text.question and (text.answer or not answers):
            rows.append(text)
        else:
            empty += 1
    if not rows:
        raise GlanError(f"{what} has no row with a question{' and an answer' if answers else ''}.")
    path = Path(file.source).expanduser()
    drawn = rows if sample is None or sample >= len(rows) else _drawn(rows, sample, seed)
    sha256 = _sha256(path) if is_local(file) and path.is_file() else ""
    return ProbeTexts(file.source, tuple(drawn), len(rows), empty, sha256, tuple(teachers)[:10])


def check_pair(train: ProbeTexts, test: ProbeTexts) -> int:
    """Return the number of questions that both splits contain.

    Raises:
        GlanError: If the splits are identical.
    """
    if train.rows_sha256 == test.rows_sha256:
        raise GlanError("The training and test splits have the same rows. Use two different files.")
    return len({row.question for row in train.rows} & {row.question for row in test.rows})


def _rows(file: ProbeFile, role: str, what: str) -> Iterator[dict]:
    if known := BENCHMARKS.get(file.source.lower()):
        yield from _hub_rows(known, file.split or known.splits[role], what)
        return
    path = Path(file.source).expanduser()
    if not path.exists() and (listed := HUB_BENCHMARKS.get(file.source.lower())):
        raise GlanError(
            f"{listed.label} cannot be probed by name. Use a file for each split, or one of {', '.join(BENCHMARKS)}, which have "
            "a training and a test split on the Hub."
        )
    if not path.exists():
        raise GlanError(f"File {file.source!r} does not exist. Use a path, or one of {', '.join(BENCHMARKS)}.")
    wanted = file.split or ("test" if role == "alike" else role)
    rows = [(str(row.get("split") or split_of(path, at)), row) for at, _, row in stored_rows(path)]
    splits = dict.fromkeys(split for split, _ in rows)
    if file.split and file.split not in splits:
        available = ", ".join(filter(None, splits))
        hint = f"Available splits: {available}." if available else "Its rows name no split."
        raise GlanError(f"{what} has no split {file.split!r}. {hint}")
    several = len(splits) > 1 and wanted in splits
    yield from (row for split, row in rows if split == wanted or not (file.split or several))


def _hub_rows(known: ProbeBenchmark, split: str, what: str) -> Iterator[dict]:
    for config in known.hub.configs:
        splits = load_from_hub(known.hub, config)
        if split not in splits:
            raise GlanError(f"{what} has no split {split!r}. Available splits: {', '.join(splits)}.")
        yield from splits[split]


def _drawn(rows: list[ProbeText], number: int, seed: int) -> list[ProbeText]:
    def place(row: ProbeText) -> bytes:
        return hashlib.sha256(f"{seed}/{row.question}\x1f{row.answer}".encode()).digest()

    return heapq.nsmallest(number, rows, key=place)


class _Reader:
    """Extracts question and answer from rows, with the columns of the first row.

    Configured columns that look-alikes lack are detected instead, because teachers name them question and answer.
    """

    def __init__(self, file: ProbeFile, role: str, what: str, *, answers: bool) -> None:
        self._role, self._what, self._answers = role, what, answers
        known = BENCHMARKS.get(file.source.lower())
        self._question = file.question or (known.hub.column if known else None)
        self._answer = file.answer or (known.answer if known else None)

    def __call__(self, row: dict) -> ProbeText:
        if self._role == "alike" and self._question and self._question.split(".")[0] not in row:
            self._question = self._answer = None
        self._question = self._question or question_column(row, self._what)
        choices = _choices(row)
        question = self._text(row, self._question)
        if choices:
            question = "\n".join([question, *(f"{letter}. {text}" for letter, text in choices.items())]) if question else ""
        if not self._answers:
            return ProbeText(question, "")
        self._answer = self._answer or self._answer_column(row)
        return ProbeText(question, self._right(row, choices, self._answer) if choices else self._text(row, self._answer))

    def _answer_column(self, row: dict) -> str:
        by_lower = {str(key).strip().lower(): key for key in row}
        for column in COLUMNS:
            if column in by_lower and by_lower[column] != self._question:
                return by_lower[column]
        raise GlanError(f"{self._what}: no answer column found. Set the column; available columns: {', '.join(map(str, row))}.")

    def _text(self, row: dict, column: str) -> str:
        value = self._cell(row, column)
        if isinstance(value, list) and value and isinstance(value[0], str):
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise GlanError(
                f"{self._what}: column {column!r} does not contain text. Use a text column, with dots for nested ones (such as "
                "answers.text)."
            )
        return "" if value is None else str(value).strip()

    def _cell(self, row: dict, column: str) -> Any:
        if column in row:
            return row[column]
        value: Any = row
        for part in column.split("."):
            if not isinstance(value, dict) or part not in value:
                raise GlanError(f"{self._what} has no column {column!r}. Available columns: {', '.join(map(str, row))}.")
            value = value[part]
        return value

    def _right(self, row: dict, choices: Mapping[str, str], column: str) -> str:
        """Return the right choice with its letter; the answer may be a letter, a 0-based index, or the text."""
        value = self._cell(row, column)
        key = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if key in choices:
            return f"{key}. {choices[key]}"
        if isinstance(value, int) and 0 <= value < len(choices):
            key = list(choices)[value]
            return f"{key}. {choices[key]}"
        if letter := next((letter for letter, text in choices.items() if text == key), None):
            return f"{letter}. {key}"
        if key:
            raise GlanError(
                f"{self._what}: answer {key[:40]!r} in column {column!r} is not one of the choices {', '.join(choices)}."
            )
        return ""


def _choices(row: dict) -> dict[str, str]:
    """Return the choices of a row by letter: a list of texts, or lists of texts and labels as in ARC; {} for none."""
    value = next((row[key] for key in CHOICES if isinstance(row.get(key), list | dict)), None)
    if isinstance(value, dict):
        texts, labels = value.get("text"), value.get("label")
    else:
        texts, labels = value, None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        return {}
    if not isinstance(labels, list) or len(labels) != len(texts):
        labels = list(LETTERS[: len(texts)])
    return dict(zip(map(str, labels), texts, strict=False))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
