"""A workspace: a folder with one SQLite file and the artifacts beside it. Nobody outside this package writes SQL.

`Workspace` opens and creates; the `*_rows` modules read and write what their name says, as functions whose first
argument is the open database.
"""

from glan_core.workspace.workspace import Damaged, Workspace, WorkspaceError, found_in

__all__ = ["Damaged", "Workspace", "WorkspaceError", "found_in"]
