"""The argument parser of all commands: one line per error, and no internal names in it."""

import argparse
import re
from typing import Any, NoReturn

# argparse takes a value such as -1,1 for an option; a negative number, alone or in a list, is a value.
NEGATIVE = re.compile(r"^-\.?\d[\d.,eE+-]*$")


class Parser(argparse.ArgumentParser):
    """Argument parser of `glan` and of its commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = NEGATIVE

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line."""
        self.exit(2, f"{self.prog}: {message.rstrip('.')}. See '{self.prog} --help'.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Name the documented choices of a command or action that does not exist; others are internal or of earlier releases."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            known = [choice.dest for choice in action._choices_actions]
            raise argparse.ArgumentError(None, f"{value!r} does not exist. Choose one of {', '.join(known)}")
        if isinstance(action.metavar, str) and action.metavar.startswith("{") and value not in (action.choices or ()):
            raise argparse.ArgumentError(
                action, f"{value!r} does not exist. Choose one of {action.metavar.strip('{}').replace(',', ', ')}"
            )
        super()._check_value(action, value)
