"""Conversations as people have them: ask, ask again, edit and ask, stop, find, export. What is said is kept in the workspace.

A conversation is a tree. Editing a prompt adds a turn beside the old one, and both ways stay; asking again adds a version of
the answers, drawn with the next seed, and the earlier versions stay as well. An answer is written by the model process, which
also stores it: the page that asked may be closed.
"""

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from glan_core.errors import GlanError
from glan_core.formatting import exact, shorten
from glan_core.models import server_client
from glan_core.models.model_specs import MOST_PANES, Kept, Pane, SeededDecodingParams, pane_of, title_of
from glan_core.reply_parsing import storable
from glan_core.settings import Settings
from glan_core.teachers.contract import Message
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import DONE, FAILED, STOPPED, WRITING, Conversation, Reply, Turn

NAME_LENGTH = 60
MOST_PROMPT = 200_000  # characters
LOST_SECONDS = 5.0  # after which an answer that no process knows of is given up


class ConversationSettings(Settings):
    """What the next turn of a conversation is asked with: the panes by their names, the system prompt, how answers are drawn,
    and whether the panes' names are hidden until a vote."""

    specs: tuple[str, ...] = ()
    system: str = ""
    drawing: SeededDecodingParams = SeededDecodingParams()
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A turn as it stands: the replies of the version that counts, which versions there are, and which turns stand beside it
    (those of edited prompts). `doing` says of each pane what keeps it from writing."""

    turn: Turn
    replies: list[Reply]
    versions: list[int]
    siblings: list[int]
    doing: dict[int, str]

    @property
    def writing(self) -> bool:
        """Whether any pane still writes."""
        return any(reply.state == WRITING for reply in self.replies)


def settings_of(conversation: Conversation | None) -> ConversationSettings:
    """The settings of a conversation, or the ordinary ones where they can't be read any more."""
    try:
        return ConversationSettings.model_validate(conversation.settings if conversation else {})
    except ValueError:
        return ConversationSettings()


def get(ws: Workspace, id: int) -> Conversation:
    """A conversation by its number; GlanError when there is none."""
    found = chat_rows.conversation(ws.db, id)
    if found is None:
        raise GlanError(f"There is no conversation {id} in this workspace: it was deleted, or the address is of another one.")
    return found


def ask(
    ws: Workspace, conversation_id: int | None, settings: ConversationSettings, prompt: str, *, key: str = "",
    question_id: str | None = None, reference: str | None = None, instead_of: Turn | None = None,
) -> int:  # fmt: skip
    """Have a prompt answered after what was said, in a new conversation where none is given; the conversation's number.

    With `instead_of` it stands beside that turn, with all that was said before it. `key` is for endpoints. GlanError, with
    nothing stored, when a pane can't be had or the model process does not start.
    """
    prompt = storable(prompt).strip()
    if not prompt:
        raise GlanError("Write something to ask.")
    if len(prompt) > MOST_PROMPT:
        raise GlanError(f"The prompt is {len(prompt):,} characters long: at most {MOST_PROMPT:,} can be asked at once.")
    panes = _panes(ws, settings.specs)
    server_client.ensure()
    with ws.write() as db:
        if conversation_id is None:
            conversation_id = chat_rows.add_conversation(db, name_from(prompt), settings.model_dump(mode="json"))
        parent = instead_of.parent_id if instead_of else get(ws, conversation_id).head
        chat_rows.update_conversation(db, conversation_id, settings=settings.model_dump(mode="json"))
        turn_id = chat_rows.add_turn(
            db, conversation_id, parent, prompt, system=storable(settings.system).strip(), question_id=question_id,
            reference=reference,
        )  # fmt: skip
        if settings.blind and len(panes) > 1:
            chat_rows.set_blind(db, turn_id, blind_order(len(panes), turn_id, settings.drawing.seed))
        turn = chat_rows.turn(db, turn_id)
    _begin(ws, turn, 0, panes, settings.drawing, key)
    return conversation_id


def ask_again(ws: Workspace, turn_id: int, *, key: str = "") -> None:
    """Have the last turn answered once more by the same panes, as another version that counts from now on. It is drawn as the
    last version was, with the next seed."""
    turn = _turn(ws, turn_id)
    last = chat_rows.versions(ws.db, turn_id)[-1]
    old = chat_rows.replies(ws.db, turn_id, last)
    panes = _panes(ws, [reply.model for reply in old])
    drawn = {name: old[0].facts[name] for name in SeededDecodingParams.model_fields}
    server_client.ensure()
    _begin(ws, turn, last + 1, panes, SeededDecodingParams(**drawn | {"seed": (drawn["seed"] + 1) % 2**31}), key)


def stop(ws: Workspace, turn_id: int) -> None:
    """End what is being written of a turn; what is there is kept."""
    turn = _turn(ws, turn_id)
    for reply in chat_rows.replies(ws.db, turn_id, turn.version):
        if reply.state == WRITING and reply.written_by:
            server_client.stop(reply.written_by)
            break


def show(ws: Workspace, conversation: Conversation) -> list[Shown]:
    """The turns of the way that a conversation shows, with what is being written at this moment."""
    return [_shown(ws, turn) for turn in chat_rows.way_to(ws.db, conversation.head)]


def show_turn(ws: Workspace, turn_id: int) -> Shown:
    """A turn with what is being written at this moment."""
    return _shown(ws, _turn(ws, turn_id))


def go_to_version(ws: Workspace, turn_id: int, version: int) -> None:
    """Let another version of a turn's answers count."""
    with ws.write() as db:
        chat_rows.set_version(db, turn_id, version)


def go_to_sibling(ws: Workspace, turn_id: int) -> None:
    """Show the way that leads over this turn to its end."""
    turn = _turn(ws, turn_id)
    with ws.write() as db:
        chat_rows.update_conversation(db, turn.conversation_id, head=chat_rows.last_below(db, turn_id))


def rename(ws: Workspace, id: int, name: str) -> None:
    """Give a conversation a name."""
    name = " ".join(storable(name).split())
    if not name:
        raise GlanError("Give the conversation a name.")
    with ws.write() as db:
        chat_rows.update_conversation(db, id, name=name[:200])


def remove(ws: Workspace, id: int) -> None:
    """Delete a conversation for good, with its votes; what is being written of it is stopped."""
    conversation = get(ws, id)
    for shown in show(ws, conversation)[-1:]:
        if shown.writing:
            stop(ws, shown.turn.id)
    with ws.write() as db:
        chat_rows.remove_conversation(db, id)


def name_from(prompt: str) -> str:
    """A name for a conversation, from its first prompt."""
    return shorten(" ".join(prompt.split()), NAME_LENGTH)


def blind_order(panes: int, turn_id: int, seed: int) -> tuple[int, ...]:
    """The order in which panes are shown while their names are hidden: drawn for each turn, repeatable."""
    settings = list(range(panes))
    random.Random(f"{seed}:{turn_id}").shuffle(settings)
    return tuple(settings)


def chat_before(ws: Workspace, turn: Turn, spec: str, pane: int) -> list[Message]:
    """What a pane is told of a turn: the system prompt, all earlier turns with what this model said, and the prompt.

    Where this model was not asked, what stood in the same place counts; turns without an answer are passed over.
    """
    chat: list[Message] = [{"role": "system", "content": turn.system}] if turn.system else []
    for before in chat_rows.way_to(ws.db, turn.parent_id):
        said = chat_rows.replies(ws.db, before.id, before.version)
        own = next((r for r in said if r.model == spec), None) or next((r for r in said if r.pane == pane), None)
        if own and own.state in (DONE, STOPPED) and own.text.strip():
            chat += [{"role": "user", "content": before.prompt}, {"role": "assistant", "content": own.text}]
    return [*chat, {"role": "user", "content": turn.prompt}]


# ------------------------------------------------------------------------------------------------------------- export


def to_markdown(ws: Workspace, conversation: Conversation) -> str:
    """The way that is shown, as a document."""
    parts = [f"# {conversation.name}\n"]
    for turn in chat_rows.way_to(ws.db, conversation.head):
        parts.append(f"## Asked on {exact(turn.at)}\n")
        parts += [f"System prompt: {turn.system}\n"] if turn.system else []
        parts.append(f"{turn.prompt}\n")
        for reply in chat_rows.replies(ws.db, turn.id, turn.version):
            parts.append(f"### {title_of(reply.model)}\n\n{reply.text}\n")
            parts.append(f"*{_facts_line(reply)}*\n")
    return "\n".join(parts)


def to_jsonl(ws: Workspace, conversation: Conversation) -> Iterator[str]:
    """The way that is shown, a line of JSON for each answer in every version: the chat as `messages`, and what is known of it."""
    for turn in chat_rows.way_to(ws.db, conversation.head):
        for version in chat_rows.versions(ws.db, turn.id):
            for reply in chat_rows.replies(ws.db, turn.id, version):
                chat = [*chat_before(ws, turn, reply.model, reply.pane), {"role": "assistant", "content": reply.text}]
                about = {
                    "conversation": conversation.name,
                    "turn": turn.id,
                    "version": version,
                    "counts": version == turn.version,
                }
                about |= {"model": reply.model, "state": reply.state, "message": reply.message, "at": reply.at}
                yield json.dumps({"messages": chat, **about, **reply.facts}, ensure_ascii=False) + "\n"


def _facts_line(reply: Reply) -> str:
    facts = reply.facts
    parts = [reply.model, *(f"{name} {facts[key][7:19]}" for name, key in (("weights", "weights_hash"), ("adapter", "adapter_hash"))
                            if facts.get(key))]  # fmt: skip
    parts.append(f"temperature {facts['temperature']:g}, top-p {facts['top_p']:g}, seed {facts['seed']}")
    parts.append(f"{facts.get('tokens_out', 0):,} tokens in {facts.get('seconds', 0):.1f} s")
    return " · ".join([*parts, *([reply.message] if reply.message else [])])


# ------------------------------------------------------------------------------------------------------------- at work


def _panes(ws: Workspace, specs: Sequence[str]) -> list[Pane]:
    if not specs:
        raise GlanError("Choose a model to talk to.")
    if len(specs) > MOST_PANES:
        raise GlanError(f"At most {MOST_PANES} models can answer side by side; {len(specs)} are chosen.")
    return [pane_of(ws, spec) for spec in specs]


def _begin(ws: Workspace, turn: Turn, version: int, panes: Sequence[Pane], drawing: SeededDecodingParams, key: str) -> None:
    """Store what is to be written, and have the model process write it."""
    settings = server_client.order_turn(
        panes, [chat_before(ws, turn, pane.spec, n) for n, pane in enumerate(panes)], drawing,
        Kept(folder=str(ws.folder), turn_id=turn.id, version=version),
    )  # fmt: skip
    facts = drawing.model_dump()
    begun = [Reply(turn.id, version, n, p.spec, WRITING, "", "", facts, settings.id, time.time()) for n, p in enumerate(panes)]
    with ws.write() as db:
        for reply in begun:
            chat_rows.put_reply(db, reply)
        chat_rows.set_version(db, turn.id, version)
    try:
        server_client.begin(settings, key)
    except GlanError as error:
        _fail(ws, begun, str(error))


def _shown(ws: Workspace, turn: Turn) -> Shown:
    replies, doing = chat_rows.replies(ws.db, turn.id, turn.version), {}
    if any(reply.state == WRITING for reply in replies):
        replies, doing = _live(ws, turn, replies)
    return Shown(turn, replies, chat_rows.versions(ws.db, turn.id), chat_rows.siblings(ws.db, turn), doing)


def _live(ws: Workspace, turn: Turn, stored: list[Reply]) -> tuple[list[Reply], dict[int, str]]:
    """Replies as the model process has them; those that no process knows of are given up."""
    picture = server_client.look(stored[0].written_by or "")
    if picture is None:
        again = chat_rows.replies(ws.db, turn.id, turn.version)  # it may just have ended, and be stored
        lost = [reply for reply in again if reply.state == WRITING]
        if not lost or (time.time() - min(reply.at for reply in lost) < LOST_SECONDS and _may_still_begin(lost)):
            return again, {}
        failed = _fail(ws, lost, server_client.CRASHED)
        return [failed.get(reply.pane, reply) for reply in again], {}
    live = [
        replace(reply, **{name: now[name] for name in ("state", "text", "message", "facts", "at")})
        for reply, now in zip(stored, picture["panes"], strict=True)
    ]
    return live, {n: now["doing"] for n, now in enumerate(picture["panes"]) if now["doing"]}


def _may_still_begin(lost: list[Reply]) -> bool:
    """Whether replies have nothing yet: the process may not have been told of them at this moment."""
    return not any(reply.text for reply in lost)


def _fail(ws: Workspace, replies: Sequence[Reply], why: str) -> dict[int, Reply]:
    failed = {reply.pane: replace(reply, state=FAILED, message=why, at=time.time()) for reply in replies}
    if not ws.read_only:
        with ws.write() as db:
            for reply in failed.values():
                chat_rows.put_reply(db, reply)
    return failed


def _turn(ws: Workspace, turn_id: int) -> Turn:
    turn = chat_rows.turn(ws.db, turn_id)
    if turn is None:
        raise GlanError("This turn of the conversation is gone: it was deleted meanwhile.")
    return turn
