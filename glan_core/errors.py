"""The one kind of error that is shown to people."""


class GlanError(Exception):
    """A fault that a person can understand and mend; its text is shown as is.

    The text says what was wrong, where, and what to do. The command line prints it as one line and exits with 2; a page
    shows it in place of what it could not draw. Anything else that is raised is a fault of ours.
    """
