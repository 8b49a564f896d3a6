"""Import strings ('module:name'): symbols of higher-level packages that are imported on use."""

from importlib import import_module
from typing import Any


def load_symbol(import_string: str) -> Any:
    """Import the symbol that 'module:name' refers to."""
    module, name = import_string.split(":")
    return getattr(import_module(module), name)
