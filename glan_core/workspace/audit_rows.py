"""Audit log: what the signed-in users of a studio changed in a workspace.

Every transaction of a signed-in user adds a row (`Workspace.write`). Uploads, saved connections and requests to test an endpoint are
no transactions and are not in it.
"""

from dataclasses import dataclass
from types import FrameType

import apsw

from glan_core.workspace.sql import fetch_all


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change.

    Attributes:
        seq: Its number.
        at: When it was made, in seconds since 1970.
        who: Email address of the user.
        action: Function of the core that made it, such as 'homework.review.review'.
        detail: What it was about; '' if the action does not say.
    """

    seq: int
    at: float
    who: str
    action: str
    detail: str


def add_entry(db: apsw.Connection, at: float, who: str, action: str, detail: str) -> None:
    """Store an entry."""
    db.execute("INSERT INTO audit (at, who, action, detail) VALUES (?, ?, ?, ?)", (at, who, action, detail))


def entries(db: apsw.Connection, limit: int = 500) -> list[AuditEntry]:
    """Return the newest entries, newest first."""
    return [AuditEntry(*row) for row in fetch_all(db, "SELECT * FROM audit ORDER BY seq DESC LIMIT ?", (limit,))]


def action_of(frame: FrameType | None) -> str:
    """Return the public function of the core that a frame was called from, without the package's name: 'runs.launcher.pause'."""
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("glan_core.") and not name.startswith(("_", "<")) and frame.f_code.co_filename != __file__:
            return f"{module.removeprefix('glan_core.')}.{name}"
        frame = frame.f_back
    return ""
