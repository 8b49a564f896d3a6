"""The report as one HTML document: styles, sections, plotly and the script that draws the figures, all inline.

A Content-Security-Policy with the hashes of the two scripts forbids every request, and any other script or event handler.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from plotly.offline import get_plotlyjs

from glan_core.operations.stakeholder_report.html_blocks import Html, Section, joined, text
from glan_core.resources import ASSETS

GENERATOR = "GLAN Studio report"
MARK = f'<meta name="generator" content="{GENERATOR}">'


def document(title: str, lines: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the document.

    Args:
        title: Name of the workspace.
        lines: Facts below the title: date, versions, folder.
        sections: The sections in order.
    """
    here = files(__package__)
    style, script = (here.joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    drawn = any('class="plot"' in block for section in sections for block in section.blocks)
    scripts = [get_plotlyjs().replace("\r\n", "\n").replace("</script", "<\\/script"), script] if drawn else []
    contents = "".join(f'<li><a href="#{one.id}">{text(one.title)}</a></li>' for one in sections)
    body = joined(f'<section id="{one.id}"><h2>{text(one.title)}</h2>\n{joined(one.blocks)}</section>' for one in sections)
    facts = "".join(f"<li>{text(line)}</li>" for line in lines)
    inline = "\n".join(f"<script>{one}</script>" for one in scripts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
{MARK}
<title>{text(title)}: report</title>
<style>{style}</style>
</head>
<body>
<nav aria-label="Contents"><div class="brand">{_logo()}</div><ol>{contents}</ol></nav>
<main>
<header><p class="kind">Report</p><h1>{text(title)}</h1><ul class="facts-line">{facts}</ul></header>
{body}
<footer>Written by GLAN Studio. The file contains everything it shows and requests nothing.</footer>
</main>
{inline}
</body>
</html>
"""


def _policy(scripts: Sequence[str]) -> str:
    """Return the policy that allows exactly these scripts, inline styles, and images within the file."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts]
    allowed = {
        "default-src": "'none'", "script-src": " ".join(hashes) or "'none'", "style-src": "'unsafe-inline'", "img-src": "data: blob:",
        "form-action": "'none'", "base-uri": "'none'",
    }  # fmt: skip
    return "; ".join(f"{what} {sources}" for what, sources in allowed.items())


def _logo() -> Html:
    return Html((ASSETS / "logo.svg").read_text("utf-8"))
