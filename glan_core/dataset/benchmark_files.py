"""Reads benchmark questions from the Hugging Face Hub and from local files.

Only the question of each row is read, from all splits: the stem of a multiple-choice item, the prompt of a coding task.
Code shipped with a dataset is never executed.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from glan_core.dataset.settings import BenchmarkSource
from glan_core.errors import GlanError
from glan_core.io import hub_reachability
from glan_core.io.data_files import data_suffix, is_data_file
from glan_core.io.dataset_reader import stored_rows

# Column names that usually hold the question, most likely first.
COLUMNS = ("question", "problem", "prompt", "query", "instruction", "input", "text", "sentence", "ctx", "turns")
IDS = ("task_id", "id", "idx", "key", "question_id", "unique_id", "uid")
ON_HUB = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
SPLIT_WORDS = re.compile(r"(?<![a-z])(train|test|validation|valid|dev)(?![a-z])", re.IGNORECASE)
MATH = ("algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra", "precalculus")
BBH = (
    "boolean_expressions", "causal_judgement", "date_understanding", "disambiguation_qa", "dyck_languages", "formal_fallacies",
    "geometric_shapes", "hyperbaton", "logical_deduction_five_objects", "logical_deduction_seven_objects",
    "logical_deduction_three_objects", "movie_recommendation", "multistep_arithmetic_two", "navigate", "object_counting",
    "penguins_in_a_table", "reasoning_about_colored_objects", "ruin_names", "salient_translation_error_detection", "snarks",
    "sports_understanding", "temporal_sequences", "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects", "tracking_shuffled_objects_three_objects", "web_of_lies", "word_sorting",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HubBenchmark:
    """A benchmark on the Hugging Face Hub.

    Attributes:
        label: Display name.
        hub: Dataset ID on the Hub.
        configs: Configurations to read.
        splits: Splits to read; empty reads all of them.
        column: Column that holds the question.
        about: Short description for the user interface.
    """

    label: str
    hub: str
    configs: tuple[str, ...]
    splits: tuple[str, ...]
    column: str
    about: str = ""


HUB_BENCHMARKS: Mapping[str, HubBenchmark] = {
    "gsm8k": HubBenchmark(
        "GSM8K", "openai/gsm8k", ("main",), ("train", "test"), "question", "grade school math word problems",
    ),
    "math": HubBenchmark(
        "MATH", "EleutherAI/hendrycks_math", MATH, ("train", "test"), "problem", "competition mathematics",
    ),
    "humaneval": HubBenchmark(
        "HumanEval", "openai/openai_humaneval", ("openai_humaneval",), ("test",), "prompt", "Python function completion",
    ),
    "mbpp": HubBenchmark(
        "MBPP", "google-research-datasets/mbpp", ("full",), ("train", "validation", "test", "prompt"), "text",
        "short Python programs",
    ),
    "bbh": HubBenchmark("BBH", "SaylorTwift/bbh", BBH, ("test",), "input", "27 reasoning tasks"),
    "arc": HubBenchmark(
        "ARC", "allenai/ai2_arc", ("ARC-Easy", "ARC-Challenge"), ("train", "validation", "test"), "question",
        "grade school science, multiple choice",
    ),
    "mmlu": HubBenchmark(
        "MMLU", "cais/mmlu", ("all",), ("auxiliary_train", "dev", "validation", "test"), "question",
        "57 subjects, multiple choice",
    ),
    "ifeval": HubBenchmark("IFEval", "google/IFEval", ("default",), ("train",), "prompt", "verifiable instructions"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BenchmarkItem:
    """A benchmark question.

    Attributes:
        benchmark: Label of the benchmark.
        split: Split name, '' if unknown.
        id: ID within the benchmark.
        text: Text of the question.
    """

    benchmark: str
    split: str
    id: str
    text: str


def benchmark_label(source: BenchmarkSource) -> str:
    """Return the display name of a benchmark: 'GSM8K', or the name of the file or dataset."""
    if known := HUB_BENCHMARKS.get(source.source.lower()):
        return known.label
    path = Path(source.source).expanduser()
    return (path.name.removesuffix(data_suffix(path)) if path.is_file() else path.name) if path.exists() else source.source


def read_benchmark(source: BenchmarkSource) -> Iterator[BenchmarkItem]:
    """Yield the questions of a benchmark, row by row.

    A known name or a Hub dataset ID is loaded from the Hub or its local cache. Anything else is a local JSONL, JSON, CSV or
    Parquet file, or a folder written by `datasets`.

    Raises:
        GlanError: If the benchmark cannot be loaded, has no rows, or has no recognizable question column.
    """
    path = Path(source.source).expanduser()
    if known := HUB_BENCHMARKS.get(source.source.lower()):
        yield from _from_hub(known, source.column or known.column)
    elif path.exists():
        yield from _from_file(path, source)
    elif ON_HUB.fullmatch(source.source) and not is_data_file(path):
        hub, _, config = source.source.partition(":")
        yield from _from_hub(HubBenchmark(source.source, hub, (config,), (), ""), source.column)
    else:
        raise GlanError(
            f"Benchmark {source.source!r} does not exist. Choose one of {', '.join(HUB_BENCHMARKS)}, a file, or a Hub dataset (owner/name)."
        )


def _from_hub(known: HubBenchmark, column: str | None) -> Iterator[BenchmarkItem]:
    for config in known.configs:
        splits = load_from_hub(known, config)
        for split in known.splits or splits:
            rows = splits.get(split)
            for nth, row in enumerate(rows or ()):
                column = column or question_column(row, known.label)
                where = "/".join(part for part in (config if len(known.configs) > 1 else "", split, str(nth)) if part)
                yield BenchmarkItem(known.label, split, where, _text(row, column, known.label))


def load_from_hub(known: HubBenchmark, config: str) -> Mapping:
    """Load one configuration of a benchmark from the Hub.

    Returns:
        Rows by split name.

    Raises:
        GlanError: If the dataset cannot be loaded.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        with nullcontext() if hub_reachability.is_reachable() else hub_reachability.offline():
            return datasets.load_dataset(known.hub, config or None)  # without trust_remote_code
    except Exception as error:  # network, cache and dataset errors have no common base class
        part = f", configuration {config}" if len(known.configs) > 1 else ""
        raise GlanError(
            f"{known.label} cannot be loaded ({known.hub}{part} on the Hugging Face Hub: {_why(error)}). Without a network "
            "connection, use a local file."
        ) from None


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionError) or "LocalEntryNotFoundError" in str(error):
        return "the Hub cannot be reached"
    first = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return first[0][:200].rstrip(".")


def _from_file(path: Path, source: BenchmarkSource) -> Iterator[BenchmarkItem]:
    name, column, nth = benchmark_label(source), source.column, 0
    for nth, (file, place, row) in enumerate(stored_rows(path), start=1):
        if not source.column and (column is None or row.get(column) is None):  # rows may have different columns
            column = question_column(row, f"{name}, {place[0].lower()}{place[1:]}")
        yield BenchmarkItem(name, str(row.get("split") or split_of(path, file)), _id(row, nth), _text(row, column or "", name))
    if not nth:
        raise GlanError(f"{name} has no rows.")


def split_of(path: Path, file: Path) -> str:
    """Return the split that a file holds, from its name or the name of its folder; '' if unknown."""
    within = [file.stem, *(part for part in file.relative_to(path).parts[-2:-1])] if file != path else [file.stem]
    found = next((match for part in within if (match := SPLIT_WORDS.search(part))), None)
    word = found[1].lower() if found else ""
    return {"valid": "validation", "dev": "validation"}.get(word, word)


def question_column(row: Mapping, name: str) -> str:
    """Return the name of the column that holds the question.

    Raises:
        GlanError: If no column has a known name; the message lists the columns.
    """
    by_lower = {str(key).strip().lower(): key for key in row}
    for column in COLUMNS:
        if column in by_lower and _as_text(row[by_lower[column]]) is not None:
            return by_lower[column]
    raise GlanError(f"{name}: no question column found. Set the column; available columns: {', '.join(map(str, row))}.")


def _id(row: Mapping, nth: int) -> str:
    return next((str(row[key]) for key in IDS if row.get(key) not in (None, "")), str(nth))


def _text(row: Mapping, column: str, name: str) -> str:
    if column not in row:
        raise GlanError(f"{name} has no column {column!r}. Available columns: {', '.join(map(str, row))}.")
    text = _as_text(row[column])
    if text is None:
        raise GlanError(f"{name}: column {column!r} does not contain text.")
    return text


def _as_text(value: object) -> str | None:
    """Return a cell as text, using the first turn of a conversation; None if it is not text."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = next((value[key] for key in ("content", "value", "text") if key in value), None)
    return "" if value is None else value if isinstance(value, str) else None
