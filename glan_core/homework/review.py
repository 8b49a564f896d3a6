"""Review of pairs: keep, reject with a reason, star or edit, one by one or all matches of a filter, with undo."""

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
Change = tuple[str, str, str | int | None]  # (record id, field, value)


def review(ws: Workspace, question_id: str, verdict: str | None, who: str, *, reason: str = "") -> str | None:
    """Keep or reject a pair, or clear its verdict with None.

    Returns:
        Id of the edit batch, None if nothing changed.

    Raises:
        GlanError: If the question does not exist, or the verdict or reason is not valid.
    """
    id = _pair(ws, question_id).question.id
    with ws.write() as db:
        return edit_batch.change(db, who, _verdict([id], verdict, reason))


def star(ws: Workspace, question_id: str, who: str, *, starred: bool) -> str | None:
    """Star or unstar a pair.

    Returns:
        Id of the edit batch, None if nothing changed.

    Raises:
        GlanError: If the question does not exist.
    """
    id = _pair(ws, question_id).question.id
    with ws.write() as db:
        return edit_batch.change(db, who, [(id, "starred", int(starred))])


def review_all(ws: Workspace, which: PairFilter, verdict: str | None, who: str, *, reason: str = "") -> str | None:
    """Set the verdict of all pairs that match a filter, as one batch; see `review`.

    Committed in chunks, so that a concurrent run is not blocked; an interrupted batch can be undone.
    """
    return _for_all(ws, which, who, lambda ids: _verdict(ids, verdict, reason))


def star_all(ws: Workspace, which: PairFilter, who: str, *, starred: bool) -> str | None:
    """Star or unstar all pairs that match a filter, as one batch; see `review_all`."""
    return _for_all(ws, which, who, lambda ids: [(id, "starred", int(starred)) for id in ids])


def _for_all(ws: Workspace, which: PairFilter, who: str, changes: Callable[[list[str]], list[Change]]) -> str | None:
    batch, done, before = edit_batch.new_batch(), False, None
    while seqs := pair_filter.matching(ws.db, which, before=before, limit=edit_batch.CHUNK):
        ids = homework_rows.pair_ids(ws.db, seqs)
        with ws.write() as db:
            done |= edit_batch.change(db, who, changes(ids), batch) is not None
        before = seqs[-1]
    return batch if done else None


def overrule(ws: Workspace, tag: Tag, who: str | None) -> None:
    """Keep a pair in the dataset despite a tag, or revert that with `who=None`.

    Raises:
        GlanError: If the tag does not exist anymore or already has this state.
    """
    with ws.write() as db:
        if not tag_rows.overrule(db, tag.seq, tag.kind, tag.name, who):
            raise GlanError("This tag was changed in the meantime. Review its current state.")


def _verdict(ids: Sequence[str], verdict: str | None, reason: str) -> list[Change]:
    if verdict not in (None, *VERDICTS):
        raise GlanError(f"{quoted(str(verdict))} is not a verdict. Use one of {', '.join(VERDICTS)}.")
    reason = text_validation.text(" ".join(reason.split()), "reason", MAX_REASON, empty=True) if verdict == "reject" else ""
    changes: list[Change] = []
    for id in ids:
        changes += [(id, "review", verdict), (id, "reason", reason)]
    return changes


def edit(
    ws: Workspace, question_id: str, who: str, *, question: str, answer: str | None, seen: Pair | None = None
) -> str | None:
    """Change the text of a question or answer; the previous text is kept.

    Args:
        ws: The workspace.
        question_id: Id of the question or answer.
        who: The editor.
        question: New text of the question.
        answer: New text of the answer, None to keep it.
        seen: State that the user edited, None to skip the check for concurrent changes.

    Returns:
        Id of the edit batch, None if nothing changed.

    Raises:
        GlanError: If the question does not exist, a text is empty or too long, there is no answer to edit, or the pair changed
            since `seen`.
    """
    pair = _pair(ws, question_id)
    if answer is not None and pair.answer is None:
        raise GlanError("This question has no answer yet.")
    id = pair.question.id
    texts = [(id, question, pair.question.text, "question"), (answer_id(id), answer, pair.answer, "answer")]
    changes = [  # unchanged texts are not validated: generated ones may exceed the limit for edits
        (record, "text", text_validation.text(new, f"text of the {what}", MAX_CHARACTERS))
        for record, new, old, what in texts
        if new is not None and old is not None and new.replace("\r\n", "\n").strip() != old.strip()
    ]
    with ws.write() as db:
        now = _pair(ws, id)
        if seen is not None and (now.question.text, now.answer) != (seen.question.text, seen.answer):
            raise GlanError(
                "This pair was changed in the meantime. Close this form, review the current version and edit it again."
            )
        return edit_batch.change(db, who, changes)


def _pair(ws: Workspace, question_id: str) -> Pair:
    """Return a pair by the id of its question or answer."""
    if (pair := homework_rows.pair(ws.db, question_id)) is None:
        raise GlanError(f"Question {quoted(question_id)} does not exist.")
    return pair


def answered_older_text(ws: Workspace, question_id: str) -> bool:
    """Return whether the current answer was written for an earlier text of the question."""
    pair = _pair(ws, question_id)
    if pair.answer is None or not record_rows.events(ws.db, pair.question.id, 1):
        return False
    made_at = _answered_at(ws, answer_id(pair.question.id), pair.answer)
    now = pair.question.text
    return record_rows.value_at(ws.db, pair.question.id, "text", now, made_at) != now


def _answered_at(ws: Workspace, id: str, text: str) -> float:
    """Return when an answer got its current text, by its call or by an edit."""
    changes = [event for event in record_rows.events(ws.db, id) if event.field == "text"]
    if not changes or changes[-1].before == text:
        return min((call.at for call in call_rows.calls_of(ws.db, id) if call.outcome == "stored"), default=0.0)
    return min(event.at for event in changes if event.after == text)
