"""Writing the report of a workspace: `glan report`, and the download on the Overview page."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import plotly

from glan_core import __version__
from glan_core.dataset.card import is_card
from glan_core.errors import GlanError
from glan_core.formatting import exact, number
from glan_core.io.atomic import atomic_output
from glan_core.operations.stakeholder_report.cost_section import cost_section
from glan_core.operations.stakeholder_report.dataset_card import dataset_card
from glan_core.operations.stakeholder_report.dataset_sections import coverage_section, examples_section, funnel_section
from glan_core.operations.stakeholder_report.diversity_section import diversity_section
from glan_core.operations.stakeholder_report.document import MARK, document
from glan_core.operations.stakeholder_report.evaluation_sections import (
    benchmark_section,
    contamination_section,
    judge_section,
    scaling_section,
)
from glan_core.operations.stakeholder_report.report_data import ReportData
from glan_core.operations.stakeholder_report.summary import summary_section
from glan_core.operations.stakeholder_report.training_sections import replies_section, training_section
from glan_core.workspace import Workspace
from glan_core.workspace.output_paths import EXPORTS, check_output

SECTIONS = (
    summary_section, coverage_section, funnel_section, diversity_section, examples_section, training_section, replies_section,
    judge_section, benchmark_section, contamination_section, scaling_section, cost_section,
)  # fmt: skip
MOST_BYTES = 10_000_000


def build_report(ws: Workspace, at: float | None = None) -> str:
    """Return the report of a workspace as HTML.

    Reads counters, samples and pages of rows, so it takes seconds for a million pairs too.

    Args:
        ws: The workspace.
        at: Time of the report, in seconds since 1970; now by default.

    Raises:
        GlanError: If the report would be larger than 10 MB.
    """
    data = ReportData(ws)
    title = str(ws.metadata("name", "") or ws.folder.name)
    lines = [
        f"Created {exact(time.time() if at is None else at)[:16]}", f"GLAN Studio {__version__}",
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, plotly {plotly.__version__}",
        *(["Demo workspace"] if ws.metadata("demo") else []),
    ]  # fmt: skip
    html = document(title, lines, [section for make in SECTIONS if (section := make(data)) is not None])
    if (size := len(html.encode())) > MOST_BYTES:
        raise GlanError(
            f"The report would have {number(size)} bytes, more than {number(MOST_BYTES)}. Please report this with 'glan doctor'."
        )
    return html


def is_report(file: Path) -> bool:
    """Return whether a file is a report written by `write_report`."""
    try:
        with file.open(encoding="utf-8") as lines:
            return MARK in lines.read(3000)
    except (OSError, ValueError):
        return False


def write_report(ws: Workspace, file: Path, *, force: bool = False) -> int:
    """Write the report to a file.

    Args:
        ws: The workspace.
        file: File to write: outside of workspaces, or in the `exports` folder.
        force: Whether to replace an earlier report.

    Returns:
        Size in bytes.

    Raises:
        GlanError: If the file may not be written.
    """
    _check(ws, file, is_report, force=force)
    return _write(ws, file, build_report(ws))


def write_card(ws: Workspace, file: Path, *, force: bool = False) -> int:
    """Write the dataset card as Markdown; arguments as for `write_report`."""
    _check(ws, file, is_card, force=force)
    return _write(ws, file, dataset_card(ws))


def _check(ws: Workspace, file: Path, is_earlier: Callable[[Path], bool], *, force: bool) -> None:
    if not file.name:
        raise GlanError("The output path is empty. Give a file such as report.html.")
    if not force and file.is_file() and not file.is_symlink() and is_earlier(file):
        raise GlanError(f"{file} already exists. Choose another name, or replace it with --force.")
    check_output(ws, file, is_earlier if force else None)
    if file.is_dir():
        raise GlanError(f"{file} is a folder. Give a file such as {file / 'report.html'}.")


def _write(ws: Workspace, file: Path, content: str) -> int:
    if file.parent.absolute() == (ws.folder / EXPORTS).absolute():
        ws.writable_folder(EXPORTS).mkdir(exist_ok=True)
    encoded = content.encode()
    with atomic_output(file, folder=False, mark=os.getpid()) as new:
        new.write_bytes(encoded)
    return len(encoded)
