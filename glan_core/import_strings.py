"""Import strings: symbols of packages above, named as text and loaded on use."""

from collections.abc import Callable
from importlib import import_module


def load_symbol(place: str) -> Callable:
    """What 'module:name' stands for."""
    module, name = place.split(":")
    return getattr(import_module(module), name)
