"""Disputed verdicts: a person marks the verdicts on a question as wrong; they are kept, and the score is shown without them, too."""

import time

from glan_core import text_validation
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import Dispute

MOST = 500  # characters of a reason


def dispute(ws: Workspace, match: str, item: str, reason: str, who: str) -> None:
    """Mark the verdicts on a question as wrong.

    Raises:
        GlanError: If the match does not exist, or the reason is too long or cannot be stored.
    """
    match_rows.require_match(ws.db, match)
    reason = text_validation.text(reason, "reason", MOST, empty=True)
    with ws.write() as db:
        match_rows.put_dispute(db, Dispute(match, item, " ".join(reason.split()), who, time.time()))


def withdraw(ws: Workspace, match: str, item: str) -> None:
    """Remove the dispute of a question."""
    with ws.write() as db:
        match_rows.remove_dispute(db, match, item)
