"""Reviewing pairs: keep, reject with a reason, star, edit; one by one or all that pass a filter, each deed to be undone."""

from collections.abc import Sequence

from glan_core import record_edit
from glan_core.errors import GlanError
from glan_core.homework import MAX_CHARACTERS
from glan_core.ids import answer_id
from glan_core.taxonomy import quoted
from glan_core.workspace import Workspace, homework_rows, record_rows
from glan_core.workspace.homework_rows import PairFilter

VERDICTS = ("keep", "reject")
REASONS = ("wrong", "unclear", "too easy", "off topic", "not self-contained", "badly written")
MAX_REASON = 500


def review(ws: Workspace, question_id: str, verdict: str | None, who: str, *, reason: str = "") -> str | None:
    """Keep or reject a pair, or (None) take the verdict back; the deed's batch, None where it was so already.

    GlanError when there is no such question, or the reason is too long.
    """
    if homework_rows.pair(ws.db, question_id) is None:
        raise GlanError(f"There is no question {quoted(question_id)}.")
    with ws.write() as db:
        return record_edit.change(db, who, _verdict([question_id], verdict, reason))


def star(ws: Workspace, question_id: str, starred: bool, who: str) -> str | None:
    """Star a pair, or take the star away; the deed's batch, None where it was so already."""
    with ws.write() as db:
        return record_edit.change(db, who, [(question_id, "starred", int(starred))])


def review_all(ws: Workspace, which: PairFilter, verdict: str | None, who: str, *, reason: str = "") -> str | None:
    """Give every pair that passes a filter the same verdict, as one deed; its batch, None where nothing differed.

    Done in steps, so that a run at work can store in between; one that is broken off can be undone as far as it came.
    """
    batch, done, before = record_edit.new_batch(), False, None
    while seqs := homework_rows.matching(ws.db, which, before=before, limit=record_edit.CHUNK):
        ids = homework_rows.pair_ids(ws.db, seqs)
        with ws.write() as db:
            done |= record_edit.change(db, who, _verdict(ids, verdict, reason), batch) is not None
        before = seqs[-1]
    return batch if done else None


def _verdict(ids: Sequence[str], verdict: str | None, reason: str) -> list[tuple[str, str, str | None]]:
    if verdict not in (None, *VERDICTS):
        raise GlanError(f"{quoted(str(verdict))} is no verdict: it is one of {', '.join(VERDICTS)}.")
    reason = " ".join(reason.split()) if verdict == "reject" else ""
    if len(reason) > MAX_REASON:
        raise GlanError(f"The reason is longer than {MAX_REASON} characters.")
    return [change for id in ids for change in ((id, "review", verdict), (id, "reason", reason))]


def edit(ws: Workspace, question_id: str, who: str, *, question: str, answer: str | None) -> str | None:
    """Give a pair another question or answer text; the older ones are kept. The deed's batch, None where nothing differs.

    GlanError when there is no such question, a text is empty or too long, or there is no answer to be edited.
    """
    pair = homework_rows.pair(ws.db, question_id)
    if pair is None:
        raise GlanError(f"There is no question {quoted(question_id)}.")
    if answer is not None and pair.answer is None:
        raise GlanError("This question has no answer yet.")
    changes = [(question_id, "text", _text(question, "question"))]
    if answer is not None:
        changes.append((answer_id(question_id), "text", _text(answer, "answer")))
    now = {question_id: pair.question.text, answer_id(question_id): pair.answer}
    with ws.write() as db:
        return record_edit.change(db, who, [c for c in changes if c[2] != now[c[0]].strip()])


def _text(text: str, what: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise GlanError(f"The text of the {what} is empty.")
    if len(text) > MAX_CHARACTERS:
        raise GlanError(f"The {what} is longer than {MAX_CHARACTERS:,} characters.")
    return text


def answered_older_text(ws: Workspace, question_id: str) -> bool:
    """Whether the question was edited and its answer, as it stands, was made before that."""
    of_question = [e.seq for e in record_rows.events(ws.db, question_id) if e.field == "text"]
    of_answer = [e.seq for e in record_rows.events(ws.db, answer_id(question_id)) if e.field == "text"]
    return bool(of_question) and max(of_question) > max(of_answer, default=0)
