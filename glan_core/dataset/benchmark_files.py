"""Benchmarks that training data must not hold: those known by name, any other of the Hub, and local files.

Of each only the question is read, from all its splits: of multiple choice the text before the choices, of code the prompt.
Nothing that a data set brings along is ever executed.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from glan_core.dataset.settings import BenchmarkSource
from glan_core.errors import GlanError
from glan_core.io import hub_reachability
from glan_core.io.dataset_reader import SUFFIXES, stored_rows

# Where a question is kept, the likeliest first.
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
class Known:
    """A benchmark of the Hub: its name there, its configurations, the splits that are read and the question's column, and
    what it asks."""

    label: str
    hub: str
    configs: tuple[str, ...]
    splits: tuple[str, ...]
    column: str
    about: str = ""


KNOWN: Mapping[str, Known] = {
    "gsm8k": Known(
        "GSM8K", "openai/gsm8k", ("main",), ("train", "test"), "question", "word problems of school mathematics",
    ),
    "math": Known(
        "MATH", "EleutherAI/hendrycks_math", MATH, ("train", "test"), "problem", "problems of mathematics competitions",
    ),
    "humaneval": Known(
        "HumanEval", "openai/openai_humaneval", ("openai_humaneval",), ("test",), "prompt", "Python functions to be written",
    ),
    "mbpp": Known(
        "MBPP", "google-research-datasets/mbpp", ("full",), ("train", "validation", "test", "prompt"), "text",
        "short Python programs",
    ),
    "bbh": Known("BBH", "SaylorTwift/bbh", BBH, ("test",), "input", "27 tasks of reasoning"),
    "arc": Known(
        "ARC", "allenai/ai2_arc", ("ARC-Easy", "ARC-Challenge"), ("train", "validation", "test"), "question",
        "school science, multiple choice",
    ),
    "mmlu": Known(
        "MMLU", "cais/mmlu", ("all",), ("auxiliary_train", "dev", "validation", "test"), "question",
        "57 subjects, multiple choice",
    ),
    "ifeval": Known("IFEval", "google/IFEval", ("default",), ("train",), "prompt", "instructions that can be checked"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A benchmark's question: `id` names it within its benchmark, `split` is '' where that is not known."""

    benchmark: str
    split: str
    id: str
    text: str


def name_of(source: BenchmarkSource) -> str:
    """What a benchmark is called: 'GSM8K', or the file's or data set's own name."""
    if known := KNOWN.get(source.source.lower()):
        return known.label
    path = Path(source.source).expanduser()
    return (path.stem if path.is_file() else path.name) if path.exists() else source.source


def read_benchmark(source: BenchmarkSource) -> Iterator[Item]:
    """The questions of a benchmark, read row by row.

    A known name and a name of the Hub are loaded from there (or from this machine's cache of it); anything else is a local
    JSONL, JSON, CSV or Parquet file, or a folder that `datasets` saved. GlanError, in a sentence, when it can't be had, holds
    no rows, or its question's column is neither named nor recognised.
    """
    path = Path(source.source).expanduser()
    if known := KNOWN.get(source.source.lower()):
        yield from _from_hub(known, source.column or known.column)
    elif path.exists():
        yield from _from_file(path, source)
    elif ON_HUB.fullmatch(source.source) and path.suffix.lower() not in SUFFIXES:
        hub, _, config = source.source.partition(":")
        yield from _from_hub(Known(source.source, hub, (config,), (), ""), source.column)
    else:
        raise GlanError(
            f"There is no benchmark {source.source!r}: give {', '.join(KNOWN)}, a file, or a data set of the Hub (owner/name)."
        )


def _from_hub(known: Known, column: str | None) -> Iterator[Item]:
    for config in known.configs:
        splits = load_from_hub(known, config)
        for split in known.splits or splits:
            rows = splits.get(split)
            for nth, row in enumerate(rows or ()):
                column = column or question_column(row, known.label)
                where = "/".join(part for part in (config if len(known.configs) > 1 else "", split, str(nth)) if part)
                yield Item(known.label, split, where, _text(row, column, known.label))


def load_from_hub(known: Known, config: str) -> Mapping:
    """The splits of a configuration, by their names; GlanError, in a sentence, when they can't be had."""
    import datasets

    datasets.disable_progress_bars()
    try:
        with nullcontext() if hub_reachability.reached() else hub_reachability.offline():
            return datasets.load_dataset(known.hub, config or None)  # without trust_remote_code: only data is read
    except Exception as error:  # whatever a network, a cache or a data set can do wrong: one sentence
        config_said = f", part {config}" if len(known.configs) > 1 else ""
        raise GlanError(
            f"{known.label} can't be loaded ({known.hub}{config_said} of the Hugging Face Hub: {_why(error)}). Without a "
            "connection, give a file of it."
        ) from None


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionError) or "LocalEntryNotFoundError" in str(error):
        return "the Hub can't be reached"
    first = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return first[0][:200].rstrip(".")


def _from_file(path: Path, source: BenchmarkSource) -> Iterator[Item]:
    name, column, nth = name_of(source), source.column, 0
    for nth, (file, _, row) in enumerate(stored_rows(path), start=1):
        column = column or question_column(row, name)
        yield Item(name, str(row.get("split") or split_of(path, file)), _id(row, nth), _text(row, column, name))
    if not nth:
        raise GlanError(f"{name} holds no rows.")


def split_of(path: Path, file: Path) -> str:
    """The split that a file holds, by its name or, within a data set's folder, by that of its own folder; '' if it says none."""
    within = [file.stem, *(part for part in file.relative_to(path).parts[-2:-1])] if file != path else [file.stem]
    found = next((match for part in within if (match := SPLIT_WORDS.search(part))), None)
    word = found[1].lower() if found else ""
    return {"valid": "validation", "dev": "validation"}.get(word, word)


def question_column(row: Mapping, name: str) -> str:
    """The column that holds the question; GlanError that lists the columns where none has a known name."""
    by_lower = {str(key).strip().lower(): key for key in row}
    for column in COLUMNS:
        if column in by_lower and _as_text(row[by_lower[column]]) is not None:
            return by_lower[column]
    raise GlanError(f"{name}: which column holds the question? It has {', '.join(map(str, row))}.")


def _id(row: Mapping, nth: int) -> str:
    return next((str(row[key]) for key in IDS if row.get(key) not in (None, "")), str(nth))


def _text(row: Mapping, column: str, name: str) -> str:
    if column not in row:
        raise GlanError(f"{name} has no column {column!r}: it has {', '.join(map(str, row))}.")
    text = _as_text(row[column])
    if text is None:
        raise GlanError(f"{name}: the column {column!r} holds no text.")
    return text


def _as_text(value: object) -> str | None:
    """A cell as text; of a conversation or a list of turns the first; None for what is neither."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = next((value[key] for key in ("content", "value", "text") if key in value), None)
    return "" if value is None else value if isinstance(value, str) else None
