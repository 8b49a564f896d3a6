"""Components of the Workspaces page."""
