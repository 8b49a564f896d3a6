"""Import strings ('module:name'): symbols of higher-level packages that are imported on use."""

from collections.abc import Callable
from importlib import import_module


def load_symbol(place: str) -> Callable:
    """Import the symbol that 'module:name' refers to."""
    module, name = place.split(":")
    return getattr(import_module(module), name)
