"""Files shipped with GLAN Studio: the assets, and the pages of the studio.

In a wheel they lie inside the package (`glan_core/assets`, `glan_core/studio`); in a checkout, beside it.
"""

from importlib.resources import files
from pathlib import Path

PACKAGE = Path(str(files("glan_core")))
CHECKOUT = PACKAGE.parent  # also the folder from which child processes import this very glan_core


def _shipped(name: str, beside: Path) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else beside


ASSETS = _shipped("assets", CHECKOUT / "assets")
STUDIO = _shipped("studio", CHECKOUT)  # holds streamlit_app.py, pages/ and .streamlit/
