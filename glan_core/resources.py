"""Files shipped with GLAN Studio: assets and pages.

A wheel contains them inside the package (`glan_core/assets`, `glan_core/studio`); in a checkout they are next to it.
"""

from importlib.resources import files
from pathlib import Path

PACKAGE = Path(str(files("glan_core")))
CHECKOUT = PACKAGE.parent  # Also the folder from which child processes import this copy of glan_core.


def _shipped(name: str, beside: Path) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else beside


ASSETS = _shipped("assets", CHECKOUT / "assets")
STUDIO = _shipped("studio", CHECKOUT)  # Contains streamlit_app.py, pages/ and .streamlit/.
