"""Tasks that wait on disk, because there can be too many for the memory."""

import pickle
import tempfile
from pathlib import Path
from typing import BinaryIO

from glan_core.generation.protocols import Work


class WorkSpool:
    """Tasks in the order in which they were added, in a temporary file without a name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._read_at = 0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, work: Work) -> None:
        """Add a task at the end."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # type: ignore[assignment]  # noqa: SIM115
        assert self._file is not None
        self._file.seek(0, 2)
        pickle.dump(work, self._file)
        self._waiting += 1

    def take(self) -> Work | None:
        """Remove and return the first task, None if there is none."""
        if not self._waiting or self._file is None:
            return None
        self._file.seek(self._read_at)
        work: Work = pickle.load(self._file)
        self._read_at = self._file.tell()
        self._waiting -= 1
        if not self._waiting:
            self.close()
        return work

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._read_at, self._waiting = None, 0, 0
