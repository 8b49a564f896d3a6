"""What the checks share that put tags on pairs."""

from collections.abc import Sequence

from glan_core.workspace import Workspace, tag_rows


def clear(ws: Workspace, kind: str, names: Sequence[str] | None = None, except_run: int | None = None) -> None:
    """Take off all tags of a kind (of these names) that `except_run` has not put and nobody overruled, in transactions short
    enough for other writers to come between."""
    cleared = 1
    while cleared:
        with ws.write() as db:
            cleared = tag_rows.clear_tags(db, kind, names, except_run=except_run)
