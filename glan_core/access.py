"""Access: whether this process, or the user it acts for, may change workspaces, start work and spend money.

The command line may do everything. A studio that is shown to others is read-only (`glan studio --read-only`), and one with sign-in
asks for the role of the user. What writes, starts processes or sends requests calls `check_may_change` itself, so that no page,
URL, websocket message or key press can go around it.
"""

import os
from collections.abc import Callable

from glan_core.errors import GlanError

READ_ONLY = "GLAN_READ_ONLY"  # environment variable that makes all processes of a studio read-only
SHOWN = "This studio is read-only: it shows workspaces, and nothing can be changed, started or spent."

_refusal_of_user: Callable[[], str | None] | None = None


def refusal() -> str | None:
    """Return why nothing may be changed here, as a sentence; None if everything may."""
    if os.environ.get(READ_ONLY):
        return SHOWN
    return _refusal_of_user() if _refusal_of_user else None


def check_may_change() -> None:
    """Check that changes, processes and requests are allowed here.

    Raises:
        GlanError: If they are not; the message says why.
    """
    if why := refusal():
        raise GlanError(why)


def decide_by(refusal_of_user: Callable[[], str | None] | None) -> None:
    """Ask a function, at each check, why the current user may not change anything; None ends this."""
    global _refusal_of_user
    _refusal_of_user = refusal_of_user
