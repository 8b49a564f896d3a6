"""Reviewing pairs: keep, reject with a reason, star, edit; one by one or all that pass a filter, each deed to be undone."""

from collections.abc import Callable, Sequence

from glan_core import text_validation
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.homework.question_parsing import MAX_CHARACTERS
from glan_core.ids import answer_id
from glan_core.workspace import Workspace, call_rows, edit_batch, homework_rows, pair_filter, record_rows, tag_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import VERDICTS, PairFilter
from glan_core.workspace.tag_rows import Tag

REASONS = ("wrong", "unclear", "too easy", "off topic", "not self-contained", "badly written")
MAX_REASON = 500


def review(ws: Workspace, question_id: str, verdict: str | None, who: str, *, reason: str = "") -> str | None:
    """Keep or reject a pair, or (None) take the verdict back; the deed's batch, None where it was so already.

    GlanError when there is no such question, or the reason is too long.
    """
    id = _pair(ws, question_id).question.id
    with ws.write() as db:
        return edit_batch.change(db, who, _verdict([id], verdict, reason))


def star(ws: Workspace, question_id: str, starred: bool, who: str) -> str | None:
    """Star a pair, or take the star away; the deed's batch, None where it was so already. GlanError: no such question."""
    id = _pair(ws, question_id).question.id
    with ws.write() as db:
        return edit_batch.change(db, who, [(id, "starred", int(starred))])


def review_all(ws: Workspace, which: PairFilter, verdict: str | None, who: str, *, reason: str = "") -> str | None:
    """Give every pair that passes a filter the same verdict, as one deed; its batch, None where nothing differed.

    Done in steps, so that a run at work can store in between; one that is broken off can be undone as far as it came.
    """
    return _for_all(ws, which, who, lambda ids: _verdict(ids, verdict, reason))


def star_all(ws: Workspace, which: PairFilter, starred: bool, who: str) -> str | None:
    """Star every pair that passes a filter, or take the stars away, as one deed; otherwise as `review_all`."""
    return _for_all(ws, which, who, lambda ids: [(id, "starred", int(starred)) for id in ids])


def _for_all(
    ws: Workspace, which: PairFilter, who: str, changes: Callable[[list[str]], list[tuple[str, str, str | int | None]]]
) -> str | None:
    batch, done, before = edit_batch.new_batch(), False, None
    while seqs := pair_filter.matching(ws.db, which, before=before, limit=edit_batch.CHUNK):
        ids = homework_rows.pair_ids(ws.db, seqs)
        with ws.write() as db:
            done |= edit_batch.change(db, who, changes(ids), batch) is not None
        before = seqs[-1]
    return batch if done else None


def overrule(ws: Workspace, tag: Tag, who: str | None) -> None:
    """Say that a pair stays in the dataset in spite of what a check found, or (None) take that back. GlanError when the check
    no longer finds it."""
    with ws.write() as db:
        if not tag_rows.overrule(db, tag.seq, tag.kind, tag.name, who):
            raise GlanError("This was changed meanwhile: look at it as it now is.")


def _verdict(ids: Sequence[str], verdict: str | None, reason: str) -> list[tuple[str, str, str | None]]:
    if verdict not in (None, *VERDICTS):
        raise GlanError(f"{quoted(str(verdict))} is no verdict: it is one of {', '.join(VERDICTS)}.")
    reason = text_validation.text(" ".join(reason.split()), "reason", MAX_REASON, empty=True) if verdict == "reject" else ""
    return [change for id in ids for change in ((id, "review", verdict), (id, "reason", reason))]


def edit(
    ws: Workspace, question_id: str, who: str, *, question: str, answer: str | None, seen: Pair | None = None
) -> str | None:
    """Give a pair another question or answer text; the older ones are kept. The deed's batch, None where nothing differs.

    GlanError when there is no such question, a text is empty or too long, there is no answer to be edited, or the texts are no
    longer those of the pair that the person has `seen`.
    """
    pair = _pair(ws, question_id)
    if answer is not None and pair.answer is None:
        raise GlanError("This question has no answer yet.")
    id = pair.question.id
    texts = [(id, question, pair.question.text, "question"), (answer_id(id), answer, pair.answer, "answer")]
    changes = [  # a teacher's text that is left as it is may be longer than what a person may type
        (record, "text", text_validation.text(new, f"text of the {what}", MAX_CHARACTERS))
        for record, new, old, what in texts
        if new is not None and new.replace("\r\n", "\n").strip() != old.strip()
    ]
    with ws.write() as db:
        now = _pair(ws, id)
        if seen is not None and (now.question.text, now.answer) != (seen.question.text, seen.answer):
            raise GlanError("This pair has been changed meanwhile: close this, look at it as it now is, and edit it again.")
        return edit_batch.change(db, who, changes)


def _pair(ws: Workspace, question_id: str) -> Pair:
    """A pair by the id of its question or answer."""
    if (pair := homework_rows.pair(ws.db, question_id)) is None:
        raise GlanError(f"There is no question {quoted(question_id)}.")
    return pair


def answered_older_text(ws: Workspace, question_id: str) -> bool:
    """Whether the answer, as it stands, was made when the question read otherwise."""
    pair = _pair(ws, question_id)
    if pair.answer is None or not record_rows.events(ws.db, pair.question.id, 1):
        return False
    made_at = _answered_at(ws, answer_id(pair.question.id), pair.answer)
    now = pair.question.text
    return record_rows.value_at(ws.db, pair.question.id, "text", now, made_at) != now


def _answered_at(ws: Workspace, id: str, text: str) -> float:
    """When an answer got the text that it has: by its first call, or by a change."""
    changes = [event for event in record_rows.events(ws.db, id) if event.field == "text"]
    if not changes or changes[-1].before == text:
        return min((call.at for call in call_rows.calls_of(ws.db, id) if call.outcome == "stored"), default=0.0)
    return min(event.at for event in changes if event.after == text)
