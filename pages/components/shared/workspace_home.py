"""The folder of the workspaces that the studio shows, and the one that it opens first."""

import os
from collections.abc import Sequence
from pathlib import Path


def workspace_home() -> Path:
    """Return the home folder: GLAN_HOME, else `workspaces` in the working directory."""
    return Path(os.environ.get("GLAN_HOME") or "workspaces").absolute()


def first_name(names: Sequence[str]) -> str:
    """Return the workspace to open first: the one `glan studio DIR` was called with, else the demo, else the first of them."""
    return next((name for name in (os.environ.get("GLAN_WORKSPACE"), "demo") if name in names), names[0])
