"""A folder for the machine code of numba where neither the packages nor the user's cache can be written to."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

NO_FOLDER = "no locator available"  # in the message of numba


def with_compile_cache(load: Callable[[], T]) -> T:
    """Import a module whose compiled functions are cached by numba; without a folder for them, numba refuses to load it.

    Args:
        load: Imports the module, and returns what is needed of it.

    Returns:
        What `load` returns. If numba found no folder, its cache is a temporary folder, which is deleted when the process ends.
    """
    try:
        return load()
    except RuntimeError as error:
        if NO_FOLDER not in str(error):
            raise
    import numba

    folder = tempfile.mkdtemp(prefix="glan-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
    return load()
