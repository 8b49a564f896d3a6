"""The folder of the workspaces that the studio shows."""

import os
from pathlib import Path


def workspace_home() -> Path:
    """Return the home folder: GLAN_HOME, else `workspaces` in the working directory."""
    return Path(os.environ.get("GLAN_HOME") or "workspaces").absolute()
