"""Export of instruction pairs in the formats that trainers read, each row with its provenance."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from glan_core import taxonomy, taxonomy_edit
from glan_core.errors import GlanError
from glan_core.workspace import Workspace, curriculum_rows, homework_rows
from glan_core.workspace.homework_rows import Pair

FORMATS = ("chat", "alpaca", "sharegpt", "parquet")
# Line breaks to many readers, though not to JSON: escaped, a row stays one line whoever splits the file.
LINE_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
PARQUET_ROWS = 5000  # rows of a row group: memory stays flat
SYLLABI = 4000  # that are remembered at a time: rows come oldest first, so those of a syllabus come near one another


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: rows, and those left out because the scripted teacher wrote them or a person rejected them."""

    rows: int
    scripted_left_out: int
    rejected_left_out: int


def export(
    ws: Workspace, file: str | os.PathLike, form: str, *, disciplines: Sequence[str] | None = None, scripted: bool | None = None,
    rejected: bool = False,
) -> Exported:  # fmt: skip
    """Write the answered pairs to a file, oldest first; the file appears whole or not at all.

    `form`: 'chat' (JSONL, messages), 'alpaca' (JSONL, instruction/input/output), 'sharegpt' (JSONL, conversations) or
    'parquet' (prompt, response and provenance as columns). `scripted` None leaves rows of the scripted teacher out where
    the workspace also has rows of a real one; `rejected` takes in what a person rejected. GlanError when there is nothing
    to write or the file can't be written.
    """
    if form not in FORMATS:
        raise GlanError(f"{form!r} is no export format: choose one of {', '.join(FORMATS)}.")
    path = Path(file).expanduser().absolute()
    if path.is_dir() or not path.parent.is_dir():
        raise GlanError(f"{path} cannot be written: name a file in a folder that exists.")
    keep_scripted = not homework_rows.has_real_teacher(ws.db) if scripted is None else scripted
    left_out = {"scripted": 0, "rejected": 0}

    def rows() -> Iterator[dict]:
        provenance = _Provenance(ws)
        for pair in homework_rows.all_pairs(ws.db, disciplines):
            if pair.scripted and not keep_scripted:
                left_out["scripted"] += 1
            elif pair.review == "reject" and not rejected:
                left_out["rejected"] += 1
            else:
                yield _row(pair, form, provenance.of(pair))

    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise GlanError(f"{path} cannot be written: {error.strerror}.") from None
    os.close(handle)
    try:
        number = _write_parquet(temporary, rows()) if form == "parquet" else _write_lines(temporary, rows())
        if not number:
            whose = {"scripted": "the scripted teacher's", "rejected": "rejected"}
            parts = [f"{count:,} {whose[name]}" for name, count in left_out.items() if count]
            why = f"of the pairs are {' and '.join(parts)}; ask for them to be included" if parts else "there are no pairs"
            raise GlanError(f"Nothing to export: {why}.")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise GlanError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    return Exported(number, left_out["scripted"], left_out["rejected"])


class _Provenance:
    """Looks up what every row of a syllabus shares, and remembers that of the syllabi used last."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._tree = taxonomy_edit.tree(ws)
        self._syllabus = lru_cache(SYLLABI)(self._look_up)

    def of(self, pair: Pair) -> dict:
        """Provenance of a pair, as plain values."""
        q = pair.question
        shared, names = self._syllabus(q.syllabus_id)
        return {
            "id": q.id, **shared, "sessions": [names[id] for id in q.sessions], "concepts": [names[id] for id in q.concepts],
            "strategy": q.strategy, "draw_law": q.draw_law, "seed": q.seed, "draw": q.draw,
            "question_teacher": q.teacher, "answer_teacher": pair.answer_teacher, "review": pair.review or "",
            "starred": pair.starred, "edited": pair.edited,
        }  # fmt: skip

    def _look_up(self, syllabus_id: str) -> tuple[dict, dict[str, str]]:
        syllabus = curriculum_rows.syllabus(self._ws.db, syllabus_id)
        subject = curriculum_rows.subject(self._ws.db, syllabus.subject_id)
        live = syllabus.discipline_id in self._tree
        path = [node.name for node in taxonomy.path(self._tree, syllabus.discipline_id)] if live else [syllabus.discipline_id]
        shared = {
            "taxonomy": path, "group": taxonomy.group_of(self._tree, syllabus.discipline_id) if live else None,
            "discipline": syllabus.discipline_id, "subject": subject.name, "level": subject.level, "syllabus": syllabus_id,
        }  # fmt: skip
        names: dict[str, str] = {}
        for session in curriculum_rows.sessions(self._ws.db, syllabus_id, retired=True):
            names |= {session.id: session.name, **dict(session.concepts)}
        return shared, names


def _row(pair: Pair, form: str, provenance: dict) -> dict:
    question, answer = pair.question.text, pair.answer
    match form:
        case "chat":
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            return {"messages": turns, "provenance": provenance}
        case "alpaca":
            return {"instruction": question, "input": "", "output": answer, "provenance": provenance}
        case "sharegpt":
            turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
            return {"conversations": turns, "provenance": provenance}
    return {"prompt": question, "response": answer, **provenance}


def _write_lines(file: str, rows: Iterator[dict]) -> int:
    number = 0
    with open(file, "w", encoding="utf-8", newline="\n") as out:
        for number, row in enumerate(rows, start=1):  # noqa: B007
            out.write(json.dumps(row, ensure_ascii=False).translate(LINE_BREAKS) + "\n")
    return number


def _write_parquet(file: str, rows: Iterator[dict]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    text, texts = pa.string(), pa.list_(pa.string())
    schema = pa.schema([
        ("prompt", text), ("response", text), ("id", text), ("taxonomy", texts), ("group", text), ("discipline", text),
        ("subject", text), ("level", text), ("syllabus", text), ("sessions", texts), ("concepts", texts), ("strategy", text),
        ("draw_law", text), ("seed", pa.int64()), ("draw", pa.int64()), ("question_teacher", text), ("answer_teacher", text),
        ("review", text), ("starred", pa.bool_()), ("edited", pa.bool_()),
    ])  # fmt: skip
    number = 0
    with parquet.ParquetWriter(file, schema) as writer:
        chunk: list[dict] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == PARQUET_ROWS:
                writer.write_table(pa.Table.from_pylist(chunk, schema))
                number, chunk = number + len(chunk), []
        if chunk:
            writer.write_table(pa.Table.from_pylist(chunk, schema))
    return number + len(chunk)
