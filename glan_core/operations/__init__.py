"""Installation check, demo workspace, and the workspaces of a home folder."""
