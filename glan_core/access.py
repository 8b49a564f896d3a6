"""Access: whether this process, or the user it acts for, may change workspaces, start work and spend money.

The command line may do everything. A studio that is shown to others is read-only (`glan studio --read-only`), and one with sign-in
asks for the role of the user (`roles`). What writes, starts processes or sends requests calls `check_may_change` itself, so that no
page, URL, websocket message or key press can go around it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from glan_core.errors import GlanError

READ_ONLY = "GLAN_READ_ONLY"  # environment variable that makes all processes of a studio read-only
SHOWN = "This studio is read-only: it shows workspaces, and nothing can be changed, started or spent."


@dataclass(frozen=True, slots=True)
class Visitor:
    """The user of a studio with sign-in.

    Attributes:
        name: Email address, recorded with what the user does; '' if nobody is signed in.
        refusal: Why this user may not change anything, as a sentence; None if the user may.
    """

    name: str
    refusal: str | None = None


_current_visitor: Callable[[], Visitor] | None = None


def refusal() -> str | None:
    """Return why nothing may be changed here, as a sentence; None if everything may."""
    if os.environ.get(READ_ONLY):
        return SHOWN
    return _current_visitor().refusal if _current_visitor else None


def check_may_change() -> None:
    """Check that changes, processes and requests are allowed here.

    Raises:
        GlanError: If they are not; the message says why.
    """
    if why := refusal():
        raise GlanError(why)


def visitor_name() -> str | None:
    """Return the email address of the signed-in user that this thread acts for; None without sign-in."""
    return _current_visitor().name if _current_visitor else None


def decide_by(current_visitor: Callable[[], Visitor] | None) -> None:
    """Ask a function for the current user at each check; None ends this."""
    global _current_visitor
    _current_visitor = current_visitor
