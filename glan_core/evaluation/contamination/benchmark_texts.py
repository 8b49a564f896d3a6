"""The rows that a probe reads: questions with their answers, of benchmarks known by name or of any file with such columns.

Of multiple choice the question is the text with its choices below it, a line each, and the answer is the right one with its
letter. All that is wrong with a file is said here, before a model is loaded.
"""

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glan_core.dataset.benchmark_files import HUB_BENCHMARKS, HubBenchmark, load_from_hub, question_column, split_of
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.settings import ProbeFile
from glan_core.io.dataset_reader import stored_rows

# Where an answer is kept, the likeliest first.
COLUMNS = (
    "answer", "solution", "completion", "response", "output", "target", "canonical_solution", "code", "answerkey", "label",
)  # fmt: skip
CHOICES = ("choices", "options", "endings")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ROLES = {"train": "training split", "test": "test split", "alike": "look-alikes"}
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark of the Hub that has a training and a test split: what it is there, and the columns that are read."""

    hub: HubBenchmark
    answer: str
    splits: Mapping[str, str]


def _benchmark(name: str, answer: str, configs: tuple[str, ...] = (), label: str = "", train: str = "train") -> Benchmark:
    known = HUB_BENCHMARKS[name]
    hub = HubBenchmark(label or known.label, known.hub, configs or known.configs, ("train", "test"), known.column)
    return Benchmark(hub, answer, {"train": train, "test": "test", "alike": "test"})


BENCHMARKS: Mapping[str, Benchmark] = {
    "gsm8k": _benchmark("gsm8k", "answer"),
    "math": _benchmark("math", "solution"),
    "arc_easy": _benchmark("arc", "answerKey", ("ARC-Easy",), "ARC-E"),
    "arc_challenge": _benchmark("arc", "answerKey", ("ARC-Challenge",), "ARC-C"),
    "mbpp": _benchmark("mbpp", "code"),
    "mmlu": _benchmark("mmlu", "answer", train="auxiliary_train"),
}


@dataclass(frozen=True, slots=True)
class Text:
    """A row as it is probed; `answer` is '' where only questions are asked for."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Texts:
    """The rows that were drawn of a file. `number` is how many it holds, `empty` how many more hold no question or answer;
    `sha256` is that of the file ('' for a folder or a data set of the Hub), `rows_sha256` that of the drawn rows. `written_by`
    names the teachers who wrote them, where the rows say so."""

    source: str
    rows: tuple[Text, ...]
    number: int
    empty: int
    sha256: str
    written_by: tuple[str, ...] = ()

    @property
    def rows_sha256(self) -> str:
        """The hash of the drawn rows, in their order."""
        return hashlib.sha256("\x1e".join(f"{row.question}\x1f{row.answer}" for row in self.rows).encode()).hexdigest()


def label_of(file: ProbeFile) -> str:
    """What a file is called: a benchmark's name, or the file's own."""
    known = BENCHMARKS.get(file.source.lower())
    return known.hub.label if known else Path(file.source).expanduser().stem


def is_local(file: ProbeFile) -> bool:
    """Whether a file lies on this machine under its path, so that it is read without asking the Hub."""
    return file.source.lower() not in BENCHMARKS


def read_texts(file: ProbeFile, role: str, *, answers: bool = True, sample: int | None = None, seed: int = 0) -> Texts:
    """The rows of a file, `sample` of them drawn by `seed` (the same ones in whatever order the file has them).

    `role` is what the file is read as: 'train', 'test' or 'alike'. GlanError, in a sentence, when the file can't be had, its
    columns are neither named nor recognised, or it holds no usable row.
    """
    what = f"{label_of(file)} ({ROLES[role]})"
    rows, empty, teachers = [], 0, {}
    read = _Reader(file, role, what, answers)
    for row in _rows(file, role, what):
        text = read(row)
        if isinstance(teacher := row.get("teacher"), str):
            teachers[teacher] = True
        if text.question and (text.answer or not answers):
            rows.append(text)
        else:
            empty += 1
    if not rows:
        raise GlanError(f"{what} holds no row with a question{' and an answer' if answers else ''}.")
    path = Path(file.source).expanduser()
    drawn = rows if sample is None or sample >= len(rows) else _drawn(rows, sample, seed)
    sha256 = _sha256(path) if is_local(file) and path.is_file() else ""
    return Texts(file.source, tuple(drawn), len(rows), empty, sha256, tuple(teachers)[:10])


def check_pair(train: Texts, test: Texts) -> int:
    """How many questions both splits hold; GlanError when they are the same rows, which can differ in nothing."""
    if train.rows_sha256 == test.rows_sha256:
        raise GlanError("The training and the test split hold the same rows: a probe compares two different files.")
    return len({row.question for row in train.rows} & {row.question for row in test.rows})


def _rows(file: ProbeFile, role: str, what: str) -> Iterator[dict]:
    if known := BENCHMARKS.get(file.source.lower()):
        yield from _hub_rows(known, file.split or known.splits[role], what)
        return
    path = Path(file.source).expanduser()
    if not path.exists() and (known := HUB_BENCHMARKS.get(file.source.lower())):
        raise GlanError(
            f"{known.label} is not probed by its name: give a file of each split, or one of {', '.join(BENCHMARKS)}, which have "
            "a training and a test split on the Hub."
        )
    if not path.exists():
        raise GlanError(f"There is no file {file.source!r}: give a path, or one of {', '.join(BENCHMARKS)}.")
    wanted = file.split or ("test" if role == "alike" else role)
    rows = [(str(row.get("split") or split_of(path, at)), row) for at, _, row in stored_rows(path)]
    splits = dict.fromkeys(split for split, _ in rows)
    if file.split and file.split not in splits:
        there = ", ".join(filter(None, splits))
        raise GlanError(f"{what} has no split {file.split!r}" + (f": it has {there}." if there else ": its rows name none."))
    several = len(splits) > 1 and wanted in splits
    yield from (row for split, row in rows if split == wanted or not (file.split or several))


def _hub_rows(known: Benchmark, split: str, what: str) -> Iterator[dict]:
    for config in known.hub.configs:
        splits = load_from_hub(known.hub, config)
        if split not in splits:
            raise GlanError(f"{what} has no split {split!r}: it has {', '.join(splits)}.")
        yield from splits[split]


def _drawn(rows: list[Text], number: int, seed: int) -> list[Text]:
    def place(row: Text) -> bytes:
        return hashlib.sha256(f"{seed}/{row.question}\x1f{row.answer}".encode()).digest()

    return heapq.nsmallest(number, rows, key=place)


class _Reader:
    """Takes question and answer from rows; the columns are those of the first row. Named ones that look-alikes don't have are
    recognised instead: a teacher writes them as question and answer, whatever the benchmark calls its own."""

    def __init__(self, file: ProbeFile, role: str, what: str, answers: bool) -> None:
        self._role, self._what, self._answers = role, what, answers
        known = BENCHMARKS.get(file.source.lower())
        self._question = file.question or (known.hub.column if known else None)
        self._answer = file.answer or (known.answer if known else None)

    def __call__(self, row: dict) -> Text:
        if self._role == "alike" and self._question and self._question.split(".")[0] not in row:
            self._question = self._answer = None
        self._question = self._question or question_column(row, self._what)
        choices = _choices(row)
        question = self._text(row, self._question)
        if choices:
            question = "\n".join([question, *(f"{letter}. {text}" for letter, text in choices.items())]) if question else ""
        if not self._answers:
            return Text(question, "")
        self._answer = self._answer or self._answer_column(row)
        return Text(question, self._right(row, choices) if choices else self._text(row, self._answer))

    def _answer_column(self, row: dict) -> str:
        by_lower = {str(key).strip().lower(): key for key in row}
        for column in COLUMNS:
            if column in by_lower and by_lower[column] != self._question:
                return by_lower[column]
        raise GlanError(f"{self._what}: which column holds the answer? It has {', '.join(map(str, row))}.")

    def _text(self, row: dict, column: str) -> str:
        value = self._cell(row, column)
        if isinstance(value, list) and value and isinstance(value[0], str):
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise GlanError(
                f"{self._what}: the column {column!r} holds no text; name one that does, dotted where it is nested "
                "(such as answers.text)."
            )
        return "" if value is None else str(value).strip()

    def _cell(self, row: dict, column: str) -> object:
        if column in row:
            return row[column]
        value: object = row
        for part in column.split("."):
            if not isinstance(value, dict) or part not in value:
                raise GlanError(f"{self._what} has no column {column!r}: it has {', '.join(map(str, row))}.")
            value = value[part]
        return value

    def _right(self, row: dict, choices: Mapping[str, str]) -> str:
        """The right choice with its letter; the answer may be given as the letter, as a number from 0, or as the text."""
        value = self._cell(row, self._answer)
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
                f"{self._what}: the answer {key[:40]!r} in {self._answer!r} is none of the choices {', '.join(choices)}."
            )
        return ""


def _choices(row: dict) -> dict[str, str]:
    """The choices of a row by their letters: a list of texts, or lists of texts and labels as ARC has them; {} for none."""
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
