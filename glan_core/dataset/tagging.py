"""Tag operations shared by the checks."""

from collections.abc import Sequence

from glan_core.workspace import Workspace, tag_rows


def clear_tags(ws: Workspace, kind: str, names: Sequence[str] | None = None, except_run: int | None = None) -> None:
    """Clear all tags of a kind that were not overruled, in short transactions.

    Args:
        ws: Workspace.
        kind: Kind of tag.
        names: Clear only tags with these names.
        except_run: Keep tags written by this run.
    """
    cleared = 1
    while cleared:
        with ws.write() as db:
            cleared = tag_rows.clear_tags(db, kind, names, except_run=except_run)
