"""Coverage-guided fuzzing of every parser and rule of text from outside, with atheris.

    python -m venv build/fuzzing && build/fuzzing/bin/pip install atheris
    PYTHONPATH=.venv/lib/python3.11/site-packages build/fuzzing/bin/python benchmarks/fuzzing.py CORPUS FINDINGS -max_total_time=1200

The first byte of an input chooses the reader, the rest is its text. An input that makes a reader raise an unexpected error, or take more
than SLOW seconds, is written to FINDINGS, once per place; inputs that reach new code are kept in CORPUS. `tests/properties/test_fuzz_corpus.py`
replays those in `tests/data/fuzz`, named by their reader.
"""

import sys
import traceback
from pathlib import Path
from time import thread_time

import atheris

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]
SLOW = 1.0  # seconds for an input of up to 4 kB

with atheris.instrument_imports(include=["glan_core", "pages"]):
    from support import outside_readers
READERS = [
    reader for reader in (*outside_readers.rules(), *outside_readers.parsers()) if not reader.name.startswith("dataset read")
]
seen: set[str] = set()


def read(data: bytes, findings: Path) -> None:
    """Give the text of an input to its reader, and keep the input if the reader fails."""
    if len(data) < 2:
        return
    reader = READERS[data[0] % len(READERS)]
    text = data[1:].decode("utf-8", "surrogateescape")
    took = seconds(reader, text, data, findings)
    if took > SLOW and (took := seconds(reader, text, data, findings)) > SLOW:  # the first time it may load a library
        keep(f"slow {reader.name}", f"{reader.name} took {took:.1f} s", data, findings)


def seconds(reader: outside_readers.Reader, text: str, data: bytes, findings: Path) -> float:
    """Read a text and return the CPU seconds that took."""
    began = thread_time()
    try:
        reader.read(text)
    except outside_readers.EXPECTED:
        pass
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        keep(f"{type(error).__name__} {place.filename.rpartition('/')[2]} {place.lineno}", reader.name, data, findings)
    return thread_time() - began


def keep(what: str, said: str, data: bytes, findings: Path) -> None:
    """Write an input to the findings, the first of its kind."""
    if what not in seen:
        seen.add(what)
        name = "".join(letter if letter.isalnum() else "-" for letter in what)
        (findings / name).write_bytes(data)
        print(f"{what}: {said}", flush=True)


if __name__ == "__main__":
    corpus, findings = map(Path, sys.argv[1:3])
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[3:]], lambda data: read(data, findings))
    atheris.Fuzz()
