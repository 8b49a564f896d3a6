"""Growth of the time that rules, parsers and patterns take with the length of adversarial texts.

    python benchmarks/text_growth.py [PART OF A NAME ...]

Feeds every pattern, rule and parser texts of 20, 40 and 80 kB that repeat what it looks for, and prints those whose time grows
faster than the text. `tests/properties/test_time_growth.py` checks a sample of the same texts.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from support import outside_readers, outside_text, time_growth  # noqa: E402

SIZE = 20_000
MOST_SHOWN = 3  # texts of one reader


def main(words: list[str]) -> int:
    """Print the slow texts of every reader whose name contains one of the words."""
    time_growth.LIMIT = 1.0
    slow = 0
    chosen = [reader for reader in outside_readers.readers() if not words or any(word in reader.name for word in words)]
    for reader in chosen:
        shown = 0
        for label, make in outside_text.texts(reader):
            if found := time_growth.slowness(reader.read, make, SIZE):
                middle = 1000 * time_growth.seconds(reader.read, make(2 * SIZE))
                print(f"{reader.name}\t{label}\t{found} ({middle:,.0f} ms for {2 * SIZE:,})", flush=True)
                shown += 1
            if shown == MOST_SHOWN:
                break
        slow += shown > 0
    print(f"{slow} of {len(chosen)} take more than linear time")
    return slow > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
