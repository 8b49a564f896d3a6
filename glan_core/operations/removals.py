"""Removals: what was removed from a workspace, restored or deleted permanently by its key.

Files and folders are set aside (`workspace.removed`), as are rows that a repair removed (`workspace.removed_rows`); conversations are
marked. Removed nodes of the taxonomy have a history of their own (`taxonomy.tree_editing`).
"""

from dataclasses import dataclass, replace

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.models.checkpoints import CHECKPOINT, return_checkpoint
from glan_core.operations.workspace_check import check_idle
from glan_core.workspace import Workspace, chat_rows, removed, removed_rows
from glan_core.workspace.workspace_facts import disk_bytes

CONVERSATION = "conversation"
ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that was removed and can be restored.

    Attributes:
        key: Names it: a number, `chat-N` for a conversation, or `rows-N` for rows that a repair removed.
        kind: What it is, such as 'model' or 'snapshot'.
        name: Its name.
        at: When it was removed, in seconds since 1970.
        bytes: Space on disk that deleting it permanently frees; 0 for rows of the database.
    """

    key: str
    kind: str
    name: str
    at: float
    bytes: int


def list_removals(ws: Workspace) -> list[Removal]:
    """Return what can be restored, newest first."""
    files = [Removal(str(one.id), one.kind, one.name, one.at, _bytes(ws, one)) for one in removed.list_removed(ws)]
    chats = [Removal(f"chat-{id}", CONVERSATION, name, at, 0) for id, name, at in chat_rows.removed_conversations(ws.db)]
    rows = [Removal(one.key, ROWS, one.name, one.at, one.bytes) for one in removed_rows.list_rows(ws)]
    return sorted(files + chats + rows, key=lambda one: -one.at)


def get_removal(ws: Workspace, key: str) -> Removal:
    """Return a removal.

    Raises:
        GlanError: If there is none of this key; the message lists those that exist.
    """
    found = list_removals(ws)
    one = next((one for one in found if one.key == key), None)
    if one is None:
        known = ", ".join(one.key for one in found[:10])
        raise GlanError(
            f"No removed item has the key {quoted(key)}. {f'Keys: {known}.' if known else 'There are no removed items.'}"
        )
    return one


def restore(ws: Workspace, key: str) -> Removal:
    """Restore something that was removed.

    Raises:
        GlanError: If there is none of this key, something else has its name now, the workspace is read-only, or rows are to be
            restored while a run is live.
    """
    one = get_removal(ws, key)
    if one.kind == ROWS:
        check_idle(ws, "rows are restored")
        return replace(one, name=removed_rows.restore_rows(ws, key))
    if one.kind == CONVERSATION:
        with ws.write() as db:
            chat_rows.restore_conversation(db, int(key.removeprefix("chat-")))
    else:
        files = removed.get_removed(ws, int(key))
        (return_checkpoint if files.kind == CHECKPOINT else removed.put_back)(ws, files)
    return one


def purge(ws: Workspace, key: str) -> Removal:
    """Delete something that was removed, permanently.

    Raises:
        GlanError: If there is none of this key, or the workspace is read-only.
    """
    one = get_removal(ws, key)
    if one.kind == CONVERSATION:
        with ws.write() as db:
            chat_rows.delete_conversation(db, int(key.removeprefix("chat-")))
    elif one.kind == ROWS:
        removed_rows.purge_rows(ws, key)
    else:
        removed.purge(ws, removed.get_removed(ws, int(key)))
    return one


def _bytes(ws: Workspace, one: removed.Removed) -> int:
    content = one.content(ws)
    try:
        return disk_bytes(content) if content.is_dir() else content.stat().st_size
    except FileNotFoundError:  # restored or purged by someone else at this moment
        return 0
