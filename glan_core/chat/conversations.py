"""Conversations: ask, regenerate, edit, stop, find and export.

A conversation is a tree. Editing a prompt adds a sibling turn; regenerating adds a version of the replies with the next seed.
All turns and versions are kept. The model server generates and stores replies, so the page may be closed meanwhile.
"""

import json
import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from pydantic import AliasChoices, Field

from glan_core.errors import GlanError
from glan_core.formatting import exact, quoted, shorten
from glan_core.models import server_client
from glan_core.models.model_specs import (
    MAX_MODELS,
    ReplyTarget,
    ResolvedModel,
    SeededDecodingParams,
    model_title,
    resolve_model,
)
from glan_core.reply_parsing import storable
from glan_core.settings import MOST_SEED, Settings
from glan_core.teachers.contract import Message
from glan_core.teachers.reasoning import split_reasoning
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import DONE, FAILED, STOPPED, WRITING, Conversation, Reply, Turn

NAME_LENGTH = 60
MOST_PROMPT = 200_000  # characters
LOST_SECONDS = 5.0  # seconds after which a reply that no server knows counts as failed


class ConversationSettings(Settings):
    """Settings of the next turn of a conversation.

    Attributes:
        specs: Model specifications.
        system: System prompt.
        decoding: Decoding parameters.
        own: Decoding parameters of models that do not use `decoding`, by specification; the seed is common to all.
        blind: Whether model names are hidden until a vote.
    """

    specs: tuple[str, ...] = ()
    system: str = ""
    decoding: SeededDecodingParams = Field(SeededDecodingParams(), validation_alias=AliasChoices("decoding", "drawing"))
    own: dict[str, SeededDecodingParams] = Field(default_factory=dict)
    blind: bool = False

    def decoding_of(self, spec: str) -> SeededDecodingParams:
        """Return the decoding parameters of a model, with the common seed."""
        return self.own.get(spec, self.decoding).model_copy(update={"seed": self.decoding.seed})


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn for display.

    Attributes:
        turn: The turn.
        replies: Replies of the current version.
        versions: Available versions.
        siblings: IDs of turns with an edited prompt.
        doing: What each unfinished reply is waiting for, by pane.
    """

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
    """Return the settings of a conversation, or defaults if they cannot be read."""
    try:
        return ConversationSettings.model_validate(conversation.settings if conversation else {})
    except ValueError:
        return ConversationSettings()


def get_conversation(ws: Workspace, id: int) -> Conversation:
    """Return a conversation by ID.

    Raises:
        GlanError: If it does not exist.
    """
    found = chat_rows.conversation(ws.db, id)
    if found is None:
        raise GlanError(
            f"Conversation {id} does not exist in this workspace. It was deleted, or the URL belongs to another workspace."
        )
    return found


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt to be answered.

    Attributes:
        text: Text of the prompt.
        question_id: ID of the held-out question it was taken from.
        reference: Reference answer of that question.
        instead_of: Turn whose prompt was edited; the new turn becomes its sibling.
    """

    text: str
    question_id: str | None = None
    reference: str | None = None
    instead_of: Turn | None = None


def ask(
    ws: Workspace, conversation_id: int | None, settings: ConversationSettings, prompt: Prompt | str, *, key: str = ""
) -> int:
    """Ask the models of a conversation.

    Args:
        ws: Workspace.
        conversation_id: Conversation; None starts a new one.
        settings: Models and decoding parameters.
        prompt: Prompt.
        key: API key for endpoints.

    Returns:
        ID of the conversation.

    Raises:
        GlanError: If a model is unavailable or the model server does not start. No turn is stored.
    """
    prompt = Prompt(prompt) if isinstance(prompt, str) else prompt
    text = storable(prompt.text).strip()
    if not text:
        raise GlanError("The prompt is empty. Enter a question.")
    if len(text) > MOST_PROMPT:
        raise GlanError(f"The prompt has {len(text):,} characters. Shorten it to at most {MOST_PROMPT:,}.")
    panes = _panes(ws, settings.specs)
    server_client.ensure_running()
    with ws.write() as db:
        if conversation_id is None:
            name = default_name(text, chat_rows.conversation_names(db))
            conversation_id = chat_rows.add_conversation(db, name, settings.model_dump(mode="json"))
        parent = prompt.instead_of.parent_id if prompt.instead_of else get_conversation(ws, conversation_id).head
        chat_rows.update_conversation(db, conversation_id, settings=settings.model_dump(mode="json"))
        turn_id = chat_rows.add_turn(
            db, conversation_id, parent, text, system=storable(settings.system).strip(), question_id=prompt.question_id,
            reference=prompt.reference,
        )  # fmt: skip
        if settings.blind and len(panes) > 1:
            chat_rows.set_blind(db, turn_id, blind_order(len(panes), turn_id, settings.decoding.seed))
    _begin(ws, _turn(ws, turn_id), 0, panes, [settings.decoding_of(spec) for spec in settings.specs], key)
    return conversation_id


def regenerate(
    ws: Workspace, turn_id: int, settings: ConversationSettings | None = None, *, same_seed: bool = False, key: str = ""
) -> None:
    """Regenerate the replies of the last turn as a new current version.

    Args:
        ws: Workspace.
        turn_id: Turn.
        settings: Settings whose decoding parameters are used; None: those of the last version.
        same_seed: Keep the seed, so that replies with other parameters can be compared; otherwise the next seed is used.
        key: API key for endpoints.
    """
    turn = _turn(ws, turn_id)
    last = chat_rows.versions(ws.db, turn_id)[-1]
    old = chat_rows.replies(ws.db, turn_id, last)
    panes = _panes(ws, [reply.model for reply in old])
    seed = old[0].facts["seed"] if same_seed else (old[0].facts["seed"] + 1) % MOST_SEED
    used = [settings.decoding_of(reply.model) if settings else _decoding_of(reply) for reply in old]
    server_client.ensure_running()
    _begin(ws, turn, last + 1, panes, [decoding.model_copy(update={"seed": seed}) for decoding in used], key)


def _decoding_of(reply: Reply) -> SeededDecodingParams:
    """Return the decoding parameters that a reply was generated with; earlier releases stored fewer of them."""
    return SeededDecodingParams(
        **{name: reply.facts[name] for name in SeededDecodingParams.model_fields if name in reply.facts}
    )


def stop_turn(ws: Workspace, turn_id: int) -> None:
    """Stop the replies of a turn, keeping their text."""
    turn = _turn(ws, turn_id)
    for reply in chat_rows.replies(ws.db, turn_id, turn.version):
        if reply.state == WRITING and reply.written_by:
            server_client.stop_turn(reply.written_by)
            break


def view_turns(ws: Workspace, conversation: Conversation) -> list[TurnView]:
    """Return the turns on the current path of a conversation, including replies in progress."""
    return [_shown(ws, turn) for turn in chat_rows.path_to(ws.db, conversation.head)]


def view_turn(ws: Workspace, turn_id: int) -> TurnView:
    """Return a turn, including replies in progress."""
    return _shown(ws, _turn(ws, turn_id))


def select_version(ws: Workspace, turn_id: int, version: int) -> None:
    """Select the current version of a turn's replies."""
    with ws.write() as db:
        chat_rows.set_version(db, turn_id, version)


def select_sibling(ws: Workspace, turn_id: int) -> None:
    """Select the path through a turn, to its newest leaf."""
    turn = _turn(ws, turn_id)
    with ws.write() as db:
        chat_rows.update_conversation(db, turn.conversation_id, head=chat_rows.newest_leaf(db, turn_id))


def rename_conversation(ws: Workspace, id: int, name: str) -> None:
    """Rename a conversation."""
    name = " ".join(storable(name).split())
    if not name:
        raise GlanError("The name is empty. Enter a name.")
    name = name[:200]
    if name in chat_rows.conversation_names(ws.db) and name != get_conversation(ws, id).name:
        raise GlanError(f"Another conversation is named {quoted(name)}. Enter another name.")
    with ws.write() as db:
        chat_rows.update_conversation(db, id, name=name)


def remove_conversation(ws: Workspace, id: int) -> None:
    """Remove a conversation, with its votes, so that it can be restored; replies in progress are stopped."""
    conversation = get_conversation(ws, id)
    for shown in view_turns(ws, conversation)[-1:]:
        if shown.writing:
            stop_turn(ws, shown.turn.id)
    with ws.write() as db:
        chat_rows.remove_conversation(db, id)


def default_name(prompt: str, taken: Collection[str] = ()) -> str:
    """Return a conversation name derived from its first prompt, with a number if the name is taken: 'What is a ring? (2)'."""
    name = shorten(" ".join(prompt.split()), NAME_LENGTH)
    numbered = (f"{name} ({n})" for n in count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def blind_order(panes: int, turn_id: int, seed: int) -> tuple[int, ...]:
    """Return a random but reproducible display order for blind comparisons."""
    order = list(range(panes))
    random.Random(f"{seed}:{turn_id}").shuffle(order)
    return tuple(order)


def answer_text(reply: Reply) -> str:
    """Return the text of a reply without its reasoning, which neither later turns nor preference rows contain."""
    return split_reasoning(reply.text)[1]


def chat_history(ws: Workspace, turn: Turn, spec: str, pane: int) -> list[Message]:
    """Return the chat that a model sees for a turn: system prompt, earlier turns with its own replies, and the prompt.

    If the model did not answer an earlier turn, the reply in the same pane is used; turns without a reply are skipped.
    """
    chat: list[Message] = [{"role": "system", "content": turn.system}] if turn.system else []
    for before in chat_rows.path_to(ws.db, turn.parent_id):
        replies = chat_rows.replies(ws.db, before.id, before.version)
        own = next((r for r in replies if r.model == spec), None) or next((r for r in replies if r.pane == pane), None)
        if own and own.state in (DONE, STOPPED) and (answer := answer_text(own)).strip():
            chat += [{"role": "user", "content": before.prompt}, {"role": "assistant", "content": answer}]
    return [*chat, {"role": "user", "content": turn.prompt}]


# ------------------------------------------------------------------------------------------------------------- export


def to_markdown(ws: Workspace, conversation: Conversation) -> str:
    """Return the current path of a conversation as Markdown."""
    parts = [f"# {conversation.name}\n"]
    for turn in chat_rows.path_to(ws.db, conversation.head):
        parts.append(f"## Asked on {exact(turn.at)}\n")
        parts += [f"System prompt: {turn.system}\n"] if turn.system else []
        parts.append(f"{turn.prompt}\n")
        for reply in chat_rows.replies(ws.db, turn.id, turn.version):
            reasoning, answer = split_reasoning(reply.text)
            parts.append(f"### {model_title(reply.model)}\n")
            parts += [f"<details><summary>Reasoning</summary>\n\n{reasoning}\n\n</details>\n"] if reasoning else []
            parts.append(f"{answer}\n")
            parts.append(f"*{_facts_line(reply)}*\n")
    return "\n".join(parts)


def to_jsonl(ws: Workspace, conversation: Conversation) -> Iterator[str]:
    """Yield the current path of a conversation as JSON lines: the `messages` and metadata of each reply in every version."""
    for turn in chat_rows.path_to(ws.db, conversation.head):
        for version in chat_rows.versions(ws.db, turn.id):
            for reply in chat_rows.replies(ws.db, turn.id, version):
                reasoning, answer = split_reasoning(reply.text)
                chat = [*chat_history(ws, turn, reply.model, reply.pane), {"role": "assistant", "content": answer}]
                about = {
                    "conversation": conversation.name,
                    "turn": turn.id,
                    "version": version,
                    "counts": version == turn.version,
                }
                about |= {"reasoning": reasoning} if reasoning else {}
                about |= {"model": reply.model, "state": reply.state, "message": reply.message, "at": reply.at}
                yield json.dumps({"messages": chat, **about, **reply.facts}, ensure_ascii=False) + "\n"


def decoding_words(facts: Mapping) -> str:
    """Return the decoding parameters of a reply: 'greedy' or 'temperature 0.7, top-p 0.95, top-k 40, repetition penalty 1.2'."""
    parts = [f"temperature {facts['temperature']:g}", f"top-p {facts['top_p']:g}"] if facts["temperature"] else ["greedy"]
    parts += [f"top-k {facts['top_k']}"] if facts["temperature"] and facts.get("top_k") else []
    parts += [f"repetition penalty {facts['repetition_penalty']:g}"] if facts.get("repetition_penalty", 1) != 1 else []
    return ", ".join(parts)


def _facts_line(reply: Reply) -> str:
    facts = reply.facts
    parts = [reply.model, *(f"{name} {facts[key][7:19]}" for name, key in (("weights", "weights_hash"), ("adapter", "adapter_hash"))
                            if facts.get(key))]  # fmt: skip
    parts.append(f"{decoding_words(facts)}, seed {facts['seed']}")
    parts.append(f"{facts.get('tokens_out', 0):,} tokens in {facts.get('seconds', 0):.1f} s")
    return " · ".join([*parts, *([reply.message] if reply.message else [])])


# ------------------------------------------------------------------------------------------------------------- running


def _panes(ws: Workspace, specs: Sequence[str]) -> list[ResolvedModel]:
    if not specs:
        raise GlanError("No model is selected. Select at least one.")
    if len(specs) > MAX_MODELS:
        raise GlanError(f"{len(specs)} models are selected. Select at most {MAX_MODELS}.")
    return [resolve_model(ws, spec) for spec in specs]


def _begin(
    ws: Workspace, turn: Turn, version: int, panes: Sequence[ResolvedModel], decodings: Sequence[SeededDecodingParams], key: str
) -> None:
    """Store the pending replies and have the model server generate them."""
    settings = server_client.create_turn(
        panes, [chat_history(ws, turn, pane.spec, n) for n, pane in enumerate(panes)], decodings[0],
        ReplyTarget(folder=str(ws.folder), turn_id=turn.id, version=version), own=dict(enumerate(decodings)),
    )  # fmt: skip
    begun = [
        Reply(turn.id, version, n, pane.spec, WRITING, "", "", decodings[n].model_dump(), settings.id, time.time())
        for n, pane in enumerate(panes)
    ]
    with ws.write() as db:
        for reply in begun:
            chat_rows.put_reply(db, reply)
        chat_rows.set_version(db, turn.id, version)
    try:
        server_client.start_turn(settings, key)
    except GlanError as error:
        _fail(ws, begun, str(error))


def _shown(ws: Workspace, turn: Turn) -> TurnView:
    replies, doing = chat_rows.replies(ws.db, turn.id, turn.version), dict[int, str]()
    if any(reply.state == WRITING for reply in replies):
        replies, doing = _live(ws, turn, replies)
    return TurnView(turn, replies, chat_rows.versions(ws.db, turn.id), chat_rows.siblings(ws.db, turn), doing)


def _live(ws: Workspace, turn: Turn, stored: list[Reply]) -> tuple[list[Reply], dict[int, str]]:
    """Return replies with the state from the model server; replies unknown to any server fail."""
    picture = server_client.turn_state(stored[0].written_by or "")
    if picture is None:
        again = chat_rows.replies(ws.db, turn.id, turn.version)  # a reply may have ended and been stored just now
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
    """Return whether no reply has any text: the server may not have received the request yet."""
    return not any(reply.text for reply in lost)


def _fail(ws: Workspace, replies: Sequence[Reply], why: str) -> dict[int, Reply]:
    """Let replies fail and return those of their version by pane; what the model server has stored in the meantime stays as it is."""
    failed = {reply.pane: replace(reply, state=FAILED, message=why, at=time.time()) for reply in replies}
    if not ws.read_only:
        with ws.write() as db:
            stored = chat_rows.replies(db, replies[0].turn_id, replies[0].version)
            failed |= {reply.pane: reply for reply in stored if reply.state != WRITING}
            for reply in failed.values():
                chat_rows.put_reply(db, reply)
    return failed


def _turn(ws: Workspace, turn_id: int) -> Turn:
    turn = chat_rows.turn(ws.db, turn_id)
    if turn is None:
        raise GlanError("The turn was deleted meanwhile. Reload the conversation.")
    return turn
