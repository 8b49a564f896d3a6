"""Import of a taxonomy: the native format and those of other tools, recognized by content, as nodes with ids and kinds.

    found = read_import("tree.md", existing)     # or parse_import(content, name, existing) for an upload
    found.nodes, found.form, found.notes

Reads taxonomy files of GLAN Studio, InstructLab trees (folder, zip or one qna.yaml), Kiln topic trees, DeepFabric topic trees
and graphs, nested JSON or YAML, Markdown, numbered and indented outlines, drawn trees, and tables or lines of paths.
"""

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.io.compression import open_expanded, without_suffix
from glan_core.io.text_decoding import decode
from glan_core.records import Node
from glan_core.taxonomy import drafted_trees, instructlab, text_outlines, topic_paths
from glan_core.taxonomy.drafted_text import without_comments, without_prose
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.taxonomy.located_values import Value, json_document, yaml_document
from glan_core.taxonomy.taxonomy_files import MAX_BYTES, native_nodes
from glan_core.taxonomy.topics import Topic, nodes_of

FORMATS = "taxonomy file, InstructLab tree or qna.yaml, Kiln or DeepFabric topics, nested JSON or YAML, outline, or CSV paths"
NATIVE = "GLAN Studio taxonomy"
MOST_FILES = 20_000
MOST_PACKED = 10 * MAX_BYTES  # bytes of an archive, and of the files read from it
_MARKUP = re.compile(r"\s*<(?:\?xml|!doctype|html|opml|ul|ol|rdf|svg|map)\b", re.IGNORECASE)
_YAML_KEY = re.compile(
    r"^[^\S\n]*(?:-\s+)?[\"']?(?:name|title|topic|label|children|sub-?_?(?:topics|fields|categories|disciplines)|disciplines|seed_examples"
    r"|nodes|format)[\"']?\s*:(?:\s|$)",
    re.MULTILINE | re.IGNORECASE,
)
_ANCHOR = re.compile(r"^[^\S\n]*+(?:-\s++)?(?:[\w \"']++|(?<= )):\s+[&*]\w+\s*(?:[\[{]|$)", re.MULTILINE)
_MAPPING_LINE = re.compile(r"\s*(?:-\s+)?[^\s#*>|-][^#\n]*:|\s*-\s+\S.*|\s*(?:-\s+)?[^\s#*>|-][^\n]*:\s+\S.*|\s*#.*|---\s*|\s*")


@dataclass(frozen=True, slots=True)
class TaxonomyImport:
    """A taxonomy read from a file or folder.

    Attributes:
        nodes: Its nodes, depth first.
        form: Display name of the recognized form, such as 'Kiln topic tree'.
        notes: What was assumed or left out, in sentences.
    """

    nodes: list[Node]
    form: str
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One sentence: form and numbers of nodes by kind."""
        counts = [
            plural(number, kind)
            for kind in ("field", "sub-field", "discipline")
            if (number := sum(n.kind == kind for n in self.nodes))
        ]
        return f"Read as {self.form}: {', '.join(counts) or 'empty'}."


def read_import(path: str | Path, existing: Sequence[Node] = ()) -> TaxonomyImport:
    """Read a taxonomy from a file, or from a folder with an InstructLab tree.

    Args:
        path: File or folder.
        existing: Nodes of the present taxonomy, whose ids are kept where the names agree.

    Raises:
        TaxonomyError: If nothing can be read; the message names the file and line.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            return _of_folder(path, existing)
        if not path.exists():
            raise TaxonomyError(f"{path} does not exist")
        if not path.is_file():
            raise TaxonomyError(f"{path} is not a file")
        with path.open("rb") as file:
            content = file.read(MOST_PACKED + 1)
    except OSError as error:
        raise TaxonomyError(f"{path} cannot be read: {error.strerror}") from error
    return parse_import(content, str(path), existing)


def parse_import(content: bytes, name: str, existing: Sequence[Node] = ()) -> TaxonomyImport:
    """Read a taxonomy from the content of a file.

    Args:
        content: The bytes of a text, of a compressed text, or of a zip archive.
        name: File name for messages; it does not decide the form.
        existing: As `read_import`.

    Raises:
        TaxonomyError: As `read_import`.
    """
    try:
        if len(content) > MOST_PACKED:
            raise TaxonomyError(
                f"{name} is larger than {MOST_PACKED // 1_000_000} MB, the limit for archives of taxonomy files"
            )
        if content.startswith(b"PK\x03\x04"):
            return _of_archive(content, name, existing)
        with open_expanded(io.BytesIO(content), name) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise TaxonomyError(f"{name} is larger than {MAX_BYTES // 1_000_000} MB, the limit for taxonomy files")
        return _of_text(decode(content, name), name, existing)
    except RecursionError:
        raise TaxonomyError(f"{name} is nested too deeply") from None
    except TaxonomyError:
        raise
    except GlanError as error:
        raise TaxonomyError(str(error)) from error


def _of_text(text: str, name: str, existing: Sequence[Node]) -> TaxonomyImport:
    if not text.strip():
        raise TaxonomyError(f"{name} is empty; use a {FORMATS}")
    if _MARKUP.match(text):
        raise TaxonomyError(f"{name} is HTML or XML, which is not read; use a {FORMATS}")
    found = _topics(without_prose(text), name)
    if isinstance(found, TaxonomyImport):
        return found
    topics, form, notes = found
    nodes, more = nodes_of(topics, _title(name), existing, any_root=form.startswith(instructlab.FORM))
    return TaxonomyImport(nodes, form, (*notes, *more))


Found = tuple[list[Topic], str, list[str]]


def _topics(text: str, name: str) -> Found | TaxonomyImport:
    """Return the topics of a text with the name of its form, or the import of a native file."""
    start = text.lstrip()[:1]
    if start and start in "{[":
        if paths := topic_paths.json_lines(text, name):
            return topic_paths.topics_of_paths(paths), "path per line (DeepFabric topic tree)", []
        if (value := _json(text, name)) is not None:
            return _of_value(value, name, "JSON")
    elif (value := _yaml(text, name)) is not None:
        return _of_value(value, name, "YAML")
    if topics := topic_paths.table_topics(text, name, header=True):
        return topics, "table of paths", []
    if paths := topic_paths.path_lines(text, name):
        return topic_paths.topics_of_paths(paths), "path per line", []
    if topics := topic_paths.table_topics(text, name, header=False):
        return topics, "table of paths", []
    return text_outlines.outline_topics(text, name)


def _json(text: str, name: str) -> Value | None:
    """Return a JSON document; also with trailing commas or single quotes, which YAML allows. None if it is an outline."""
    try:
        return json_document(text, name)
    except TaxonomyError:
        for read, other in ((json_document, without_comments(text)), (yaml_document, without_comments(text))):
            try:
                value = read(other, name)
            except TaxonomyError:
                continue
            if value is not None and isinstance(value.data, list | dict):
                return value
        if re.match(r"\s*\[[ xX]?\]\s|\s*\[[^\]]*\]\(", text):
            return None
        raise


def _yaml(text: str, name: str) -> Value | None:
    """Return a YAML document with a mapping or a list of mappings, or None if the text is another one."""
    certain = bool(_YAML_KEY.search(text) or _ANCHOR.search(text))
    lines = text.split("\n")
    maybe = any(line.rstrip().endswith(":") for line in lines) and all(map(_MAPPING_LINE.fullmatch, lines)) and "**" not in text
    if not certain and (_continues_scalar(lines) or _has_headings(lines)):
        return None
    if not (certain or maybe) or re.search(r"^#{2,6} ", text, re.MULTILINE):
        return None
    try:
        value = yaml_document(text, name)
    except TaxonomyError as error:
        if "second document" in str(error):
            raise
        if certain and re.search(r"^(?:format|nodes|seed_examples|created_by|version)\s*:", text, re.MULTILINE):
            raise
        if certain and not re.search(r"^[^\S\n]*(?:#{1,6}|[*+•]|\d+[.)])\s", text, re.MULTILINE):
            raise
        return None
    if value is None or isinstance(value.data, str):
        return None
    if isinstance(value.data, list) and not any(isinstance(item.data, dict) for item in value.data):
        return None
    return value


def _has_headings(lines: Sequence[str]) -> bool:
    """Return whether lines below the first content begin with '# ', which is a heading rather than a comment."""
    content = [line for line in lines if line.strip()]
    first = next((n for n, line in enumerate(content) if not line.startswith("#")), 0)
    return any(re.match(r"#{1,6}\s+\S", line) for line in content[first:])


def _continues_scalar(lines: Sequence[str]) -> bool:
    """Return whether a name is followed by a line indented further, which an outline puts below it and YAML joins to it."""
    full = [line for line in lines if line.strip()]
    return any(
        not one.rstrip().endswith(":") and len(other) - len(other.lstrip()) > len(one) - len(one.lstrip())
        and not re.fullmatch(r"\s*-\s[^:]+:\s.*", one)
        for one, other in pairwise(full)
    )  # fmt: skip


def _of_value(value: Value, name: str, language: str) -> Found | TaxonomyImport:
    """Return what a JSON or YAML document holds."""
    if _is_native(value):
        return TaxonomyImport(native_nodes(value), f"{NATIVE} ({language})")
    if instructlab.is_qna(value):
        return instructlab.topics_of_file(value, PurePosixPath(Path(name).as_posix())), f"{instructlab.FORM} file", []
    rows = value
    if isinstance(value.data, dict):
        lists = [entry for entry in value.data.values() if isinstance(entry.data, list) and entry.data]
        if len(lists) == 1 and all(isinstance(item.data, list) or _names_parent(item) for item in lists[0].data):
            rows = lists[0]
    if isinstance(rows.data, list) and rows.data and (found := _of_rows(rows)):
        return found, f"list of paths ({language})", []
    return drafted_trees.topics_of(value), f"{drafted_trees.form_of(value)} ({language})", []


def _of_rows(value: Value) -> list[Topic] | None:
    """Return the topics of a list of paths, of rows with levels, or of rows that name their parent; None for a tree."""
    plain = [(item.place, _plain(item)) for item in value.data]
    rows = [row for _, row in plain]
    if all(
        isinstance(row, dict)
        and not any(isinstance(cell, dict) or (isinstance(cell, list) and key != "path") for key, cell in row.items())
        for row in rows
    ):
        if found := topic_paths.topics_of_parents(plain):
            return found
    elif not all(isinstance(row, list) for row in rows) and not (
        all(isinstance(row, str) for row in rows) and topic_paths.separator_of(rows)
    ):
        return None
    paths = topic_paths.json_rows(plain)
    return topic_paths.topics_of_paths(paths) if paths else None


def _names_parent(value: Value) -> bool:
    return isinstance(value.data, dict) and any(key.lower() in ("parent", "parent_id", "parentid") for key in value.data)


def _is_flat(row: Any) -> bool:
    """Return whether a row is an object of texts, or of a path."""
    return isinstance(row, dict) and not any(
        isinstance(cell, dict) or (isinstance(cell, list) and key != "path") for key, cell in row.items()
    )


def _plain(value: Value) -> Any:
    if isinstance(value.data, dict):
        return {key: _plain(entry) for key, entry in value.data.items()}
    if isinstance(value.data, list):
        return [_plain(entry) for entry in value.data]
    return None if value.reads_as == "nothing" else value.data


def _is_native(value: Value) -> bool:
    """Return whether a document is a taxonomy file of GLAN Studio, perhaps an incomplete one."""
    if not isinstance(value.data, dict) or "root_id" in value.data:
        return False
    stated, nodes = value.data.get("format"), value.data.get("nodes")
    if stated is not None and isinstance(stated.data, str) and stated.data.startswith("glan-"):
        return True
    entries = nodes.data if nodes is not None and isinstance(nodes.data, list) else []
    return bool(entries) and all(isinstance(entry.data, dict) and {"id", "kind"} <= set(entry.data) for entry in entries)


def _title(name: str) -> str:
    """Return the name of the field for a file without levels."""
    stem = without_suffix(Path(name)).stem.strip(" ._-") or "Imported topics"
    return stem[:1].upper() + stem[1:].replace("_", " ")


def _of_folder(folder: Path, existing: Sequence[Node]) -> TaxonomyImport:
    files: list[tuple[PurePosixPath, Callable[[], str]]] = []
    name = folder.resolve().name
    for path in sorted(folder.rglob("*")):
        within = PurePosixPath(path.relative_to(folder).as_posix())
        if (
            path.name.lower() not in instructlab.FILES
            or any(part.startswith(".") for part in within.parts)
            or not path.is_file()
        ):
            continue
        if name.lower() in instructlab.ROOTS:  # the folder itself is 'knowledge'
            within = PurePosixPath(name) / within
        files.append((within, partial(_text_of_file, path)))
        if len(files) > MOST_FILES:
            raise TaxonomyError(f"{folder} has more than {MOST_FILES:,} qna files")
    if not files:
        raise TaxonomyError(
            f"The folder {folder} contains no qna.yaml of InstructLab; import a file, or the folder of an InstructLab taxonomy"
        )
    topics, notes = instructlab.topics_of_tree(files, name)
    nodes, more = nodes_of(topics, name, existing, any_root=True)
    return TaxonomyImport(nodes, instructlab.FORM, (*notes, *more))


def _text_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return _text_of(file.read(MAX_BYTES + 1), str(path))


def _text_of(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise TaxonomyError(f"{name} is larger than {MAX_BYTES // 1_000_000} MB, the limit for taxonomy files")
    return decode(content, name)


def _of_archive(content: bytes, name: str, existing: Sequence[Node]) -> TaxonomyImport:
    """Read an InstructLab tree from a zip archive, or the only text file in one."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        infos = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise TaxonomyError(f"{name} is not a complete zip archive") from None

    def read(info: zipfile.ZipInfo) -> bytes:
        if info.file_size > MAX_BYTES:
            raise TaxonomyError(
                f"{name}/{info.filename} is larger than {MAX_BYTES // 1_000_000} MB, the limit for taxonomy files"
            )
        try:
            return archive.read(info)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError):
            raise TaxonomyError(f"{name}/{info.filename} is damaged or encrypted") from None

    def text_of(info: zipfile.ZipInfo) -> str:
        return _text_of(read(info), f"{name}/{info.filename}")

    with archive:
        qna = [info for info in infos if PurePosixPath(info.filename).name.lower() in instructlab.FILES]
        if len(qna) > MOST_FILES or sum(info.file_size for info in qna) > MOST_PACKED:
            raise TaxonomyError(f"{name} has more than {MOST_FILES:,} qna files or {MOST_PACKED // 1_000_000} MB of them")
        if qna:
            files = [(PurePosixPath(info.filename), partial(text_of, info)) for info in qna]
            topics, notes = instructlab.topics_of_tree(files, name)
            nodes, more = nodes_of(topics, _title(name), existing, any_root=True)
            return TaxonomyImport(nodes, instructlab.FORM, (*notes, *more))
        if len(infos) != 1:
            raise TaxonomyError(f"{name} contains {plural(len(infos), 'file')} and no qna.yaml of InstructLab; import one file")
        return _of_text(text_of(infos[0]), infos[0].filename, existing)


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(path).parts)
