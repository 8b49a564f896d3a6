"""Every rule and parser of text from outside as a function of one text.

Functions with one required parameter called `text`, `tex`, `query` or `raw` are collected from the sources; quality rules come from
their table; the rest, which takes more than a text, is listed here.
"""

import ast
import importlib
import inspect
import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

from support.outside_text import PACKAGES, ROOT, Reader, patterns

from glan_core import ids, text_validation
from glan_core.chat.word_diff import word_diff
from glan_core.cli import teacher_options
from glan_core.curriculum import curriculum_parsing
from glan_core.dataset import benchmark_files, language_rules, text_spans
from glan_core.dataset.quality_filter_job import RULES
from glan_core.dataset.settings import BenchmarkSource
from glan_core.diversity.openai_embedder import parse_embeddings
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.lookalikes import Lookalike, LookalikeQueue
from glan_core.evaluation.judge.pairwise import ParsedVerdict
from glan_core.generation.proposals import ProposalLine
from glan_core.generation.quality_judge import Verdict
from glan_core.io.dataset_reader import read_dataset
from glan_core.io.text_decoding import decode
from glan_core.reply_parsing import MalformedReply, check_complete, json_lines
from glan_core.runs.notifications import checked_url
from glan_core.taxonomy.located_values import json_document, yaml_document
from glan_core.taxonomy.taxonomy_import import parse_import
from glan_core.teachers import contract, endpoint_errors
from glan_core.teachers.reasoning import split_reasoning
from glan_core.teachers.wire_format import StreamParser, read_reply

EXPECTED = (
    GlanError,
    MalformedReply,
    contract.TeacherFault,
    contract.TeacherRefusal,
    contract.UnusableReply,
)  # of readers, to their callers
TEXT_PARAMETERS = ("text", "tex", "query", "raw")
MESSAGES = [{"role": "user", "content": "Hello"}]
# Functions of a text that the collection leaves out, with the reason.
NOT_READERS = {
    "show": "draws on a page",
    "json_tuple": "reads what this program stored",
    "parse_json": "raises ValueError to the parsers that use it",
    "json_or_none": "reads what this program stored",
}


def _encoded(read: Callable[[bytes], object]) -> Callable[[str], object]:
    return lambda text: read(text.encode("utf-8", "surrogatepass"))


def _file(read: Callable[[Path], object], suffix: str) -> Callable[[str], object]:
    """Return a function that reads a text through a file."""

    def with_file(text: str) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"data{suffix}"
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            return read(path)

    return with_file


def _benchmark(path: Path) -> object:
    return list(benchmark_files.read_benchmark(BenchmarkSource(source=str(path))))


def _stream(raw: bytes) -> object:
    parser = StreamParser(MESSAGES)
    for start in range(0, len(raw), 1000):
        parser.feed(raw[start : start + 1000])
    return parser.reply()


def _lookalike(text: str) -> Lookalike:
    work = SimpleNamespace(facts=SimpleNamespace(question="What is 1 + 1?"))
    return LookalikeQueue.parse(None, work, text)  # type: ignore[arg-type]


REPLIES: dict[str, Callable[[str], object]] = {
    "check_complete": partial(check_complete, finish_reason="stop"),
    "proposals": lambda text: json_lines(text, ProposalLine),
    "quality judge": lambda text: json_lines(text, Verdict),
    "pairwise judge": lambda text: json_lines(text, ParsedVerdict),
    "lookalike": _lookalike,
    "subjects after an object": lambda text: curriculum_parsing.parse_subjects('{"subject_name": "Optics"}\n' + text),
    "reasoning with closed_only": partial(split_reasoning, closed_only=False),
    "reasoning within a tag": lambda text: split_reasoning(f"<think>{text}"),
    "reply": _encoded(lambda raw: read_reply(raw, MESSAGES)),
    "reply with content": lambda text: read_reply(
        json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode(), MESSAGES
    ),
    "stream": _encoded(_stream),
    "stream of an event": _encoded(lambda raw: _stream(b"data: " + raw + b"\n\n")),
    "error_of": _encoded(lambda raw: endpoint_errors.error_of(400, raw, {}, where="http://localhost", model="m")),
    "rejected_parameter": _encoded(lambda raw: endpoint_errors.rejected_parameter(400, raw, ["top_p", "max_tokens"])),
    "error page": _encoded(lambda raw: endpoint_errors.read_error(b"<html>" + raw)),
    "embeddings": _encoded(lambda raw: parse_embeddings(raw, 1)),
    "retry_after": lambda text: endpoint_errors.retry_after({"retry-after": text}),
}
TAXONOMIES: dict[str, Callable[[str], object]] = {
    "parse_import": _encoded(lambda raw: parse_import(raw, "tree.txt")),
    "parse_import below a name": _encoded(lambda raw: parse_import(b"- Physics\n" + raw, "tree.txt")),
    "json_document": lambda text: json_document(text, "tree.json"),
    "yaml_document": lambda text: yaml_document(text, "tree.yaml"),
}
DATASETS: dict[str, Callable[[str], object]] = {
    "decode": _encoded(lambda raw: decode(raw, "file")),
    **{
        f"read_dataset {suffix}": _file(lambda path: list(read_dataset(path).rows()), suffix)
        for suffix in (".jsonl", ".json", ".csv")
    },
    **{f"read_benchmark {suffix}": _file(_benchmark, suffix) for suffix in (".jsonl", ".json", ".csv")},
}
SETTINGS: dict[str, Callable[[str], object]] = {
    "option --stage": lambda text: teacher_options._stage(f"answer:{text}"),
    "webhook": checked_url,
    "name": partial(text_validation.name, what="discipline"),
    "text": partial(text_validation.text, what="question", most=10**9),
}
SHOWN: dict[str, Callable[[str], object]] = {
    "word_diff": lambda text: word_diff(text, text[::2]),
    "differing_spans": lambda text: text_spans.differing_spans(text, text[::2]),
    "quoted_spans": lambda text: text_spans.quoted_spans(text, f"it says “{text[:80]}”"),
    "quoted_spans of a text": lambda text: text_spans.quoted_spans(text[:80], text),
    "slug": ids.slug,
    "name_key": ids.name_key,
    "is_foreign": language_rules.is_foreign,
}
BOUNDS = {"word_diff": 20_000, "differing_spans": 20_000}
LISTED = {
    **REPLIES, **{f"taxonomy {n}": r for n, r in TAXONOMIES.items()}, **{f"dataset {n}": r for n, r in DATASETS.items()},
    **{f"setting {n}": r for n, r in SETTINGS.items()}, **SHOWN,
}  # fmt: skip


@cache
def parsers() -> tuple[Reader, ...]:
    """Return the listed parsers and every public function of one text."""
    found = [Reader(name, read, bound=BOUNDS.get(name, 0)) for name, read in LISTED.items()]
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            names = [
                node.name
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.FunctionDef) and _reads_text(node)
            ]
            if names:
                module = importlib.import_module(
                    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                )
                found += [_reader(f"{path.relative_to(ROOT)}:{name}", getattr(module, name)) for name in names]
    return tuple(found)


def _reads_text(node: ast.FunctionDef) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args]
    required = arguments[: len(arguments) - len(node.args.defaults)]
    return (
        not node.name.startswith("_")
        and node.name not in NOT_READERS
        and [argument.arg for argument in required] in [[name] for name in TEXT_PARAMETERS]
        and ast.unparse(required[0].annotation or ast.Constant("")) in ("str", "bytes")
        and None not in node.args.kw_defaults
    )


def _reader(name: str, function: Callable) -> Reader:
    kind = next(iter(inspect.signature(function).parameters.values())).annotation
    return Reader(name, _encoded(function) if kind in (bytes, "bytes") else lambda text: _consumed(function(text)))


def _consumed(value: object) -> object:
    return list(value) if inspect.isgenerator(value) else value


def rules() -> tuple[Reader, ...]:
    """Return the quality rules, each with the text as answer and as question."""
    return tuple(
        Reader(f"rule {name} of {part}", read)
        for name, rule in RULES.items()
        for part, read in (
            ("an answer", partial(rule.test, "What is the reason?")),
            ("a question", lambda text, test=rule.test: test(text, "It is a fact.")),
        )
    )


def readers() -> tuple[Reader, ...]:
    """Return all patterns, rules and parsers."""
    return (*patterns(), *rules(), *parsers())
