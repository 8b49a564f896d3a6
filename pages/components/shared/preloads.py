"""Preloads: parts of Streamlit's front end that the first picture of a page needs, fetched while the rest of it starts.

Streamlit's front end loads the code of a chart when the chart arrives, which is after the page's script has run. A preload has the
browser fetch and compile it before, at low priority.
"""

import re
from functools import cache
from pathlib import Path

import streamlit as st

STATIC = Path(st.__file__).parent / "static"
FRONT_END = STATIC / "static" / "js"
PARTS = {"/": "EChartsChart", "/taxonomy": "EChartsChart"}  # by page
HEAD = 10_000  # characters at the start of a file, which contain its imports
IMPORT = re.compile(r"""(?:^|;)import(?:[^;"']*?from)?["']\./([\w.-]+\.js)["']""")


@cache
def preloads(path: str) -> str:
    """Return the tags that preload what the first picture of a page needs; '' if there is none or Streamlit has no such part."""
    found = sorted(FRONT_END.glob(f"{PARTS.get(path, 'none')}.*.js"))[:1]
    known = (STATIC / "index.html").read_text("utf-8")
    names = dict.fromkeys(name for file in found for name in (file.name, *_imports(file, set())) if name not in known)
    return "".join(f'<link rel="modulepreload" crossorigin fetchpriority="low" href="./static/js/{name}">' for name in names)


def _imports(file: Path, seen: set[str]) -> list[str]:
    """Return the files that a file imports, directly or not."""
    with file.open(encoding="utf-8") as text:
        names = [name for name in IMPORT.findall(text.read(HEAD)) if name not in seen]
    seen.update(names)
    return names + [name for one in names for name in _imports(file.with_name(one), seen)]
