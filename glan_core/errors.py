"""The exception whose message is shown to users."""


class GlanError(Exception):
    """An error that a user can understand and fix; its message is shown unchanged.

    The message says what is wrong, with what, and what to do. The command line prints it as one line and exits with status 2; a
    page shows it in place of the content it could not render. Every other exception is a bug in GLAN Studio.
    """
