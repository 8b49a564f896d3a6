"""A workspace: a folder with one SQLite file and its artifacts. Only this package contains SQL.

`Workspace` opens and creates workspaces. The `*_rows` modules read and write rows with functions whose first argument is the
open database.
"""

from glan_core.workspace.workspace import DatabaseError, Workspace, WorkspaceError, find_workspaces

__all__ = ["DatabaseError", "Workspace", "WorkspaceError", "find_workspaces"]
