"""Cost and accuracy of cleaning: `python benchmarks/cleaning.py [--rows 100000] [--million]`.

Rows have a 60-word question and a 150-word answer. Planted are 2% exact duplicates and 10% with 3 of 60 words changed; for
decontamination a benchmark of 10,000 questions of 10 to 90 words, one of which is in 1% of the rows (verbatim, embedded, or with other case
and punctuation), while a third of the rows begin with a common phrase. Each contender runs alone in its own process; CPU time and memory are
that process's (getrusage), the rows in memory included.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

PAGE = 2000
VOCABULARY = 20_000
ITEMS = 10_000
STOCK = (
    "Which of the following statements is true about the", "What is the value of the expression when x is equal to",
    "A train leaves the station at a speed of",
)  # fmt: skip


def vocabulary(rng: random.Random) -> list[str]:
    """Return random words of 2 to 10 letters."""
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(VOCABULARY)]


def repeated(rows: int) -> tuple[list[tuple[int, str]], dict[int, int]]:
    """Return questions with planted duplicates, and which row duplicates which."""
    rng = random.Random(0)
    words = vocabulary(rng)
    questions, originals, truth = [], [], {}
    for seq in range(1, rows + 1):
        kind = rng.random()
        if seq > 100 and kind < 0.12:
            of, text = rng.choice(originals)
            if kind >= 0.02:
                changed = text.split()
                for at in rng.sample(range(60), 3):
                    changed[at] = rng.choice(words)
                text = " ".join(changed)
            truth[seq] = of
        else:
            text = " ".join(rng.choices(words, k=60))
            originals.append((seq, text))
        questions.append((seq, text))
    return questions, truth


def contaminated(rows: int) -> tuple[list[str], list[tuple[str, str]], dict[int, int]]:
    """Return benchmark questions, pairs, and which pair contains which question."""
    rng = random.Random(1)
    words = vocabulary(rng)
    items = [" ".join([rng.choice(STOCK), *rng.choices(words, k=rng.randint(10, 90))]) for _ in range(ITEMS)]
    pairs, truth = [], {}
    for number in range(rows):
        question = " ".join(rng.choices(words, k=60))
        if rng.random() < 0.01:
            truth[number] = item = rng.randrange(ITEMS)
            held = items[item]
            question = rng.choice((held, f"{question}. {held} Thanks.", held.upper().replace(" ", ", ", 3)))
        elif rng.random() < 0.33:
            question = f"{rng.choice(STOCK)} {question}"
        pairs.append((question, " ".join(rng.choices(words, k=150))))
    return items, pairs, truth


def quality(found: dict, truth: dict) -> dict[str, float]:
    """Return recall and precision of the rows found with the right match."""
    right = sum(truth.get(row) == other for row, other in found.items())
    return {"recall": right / max(1, len(truth)), "precision": right / max(1, len(found))}


def glan_dedup(rows: int) -> Iterator:
    """Find near-duplicates with `duplicate_finder`."""
    from glan_core.dataset.duplicate_finder import find_duplicates

    questions, truth = repeated(rows)
    yield
    found = find_duplicates([questions[start : start + PAGE] for start in range(0, rows, PAGE)])
    yield quality({repeat.seq: repeat.of for repeat in found}, truth)


def datasketch_dedup(rows: int) -> Iterator:
    """Find near-duplicates as datasketch's documentation does, with the same permutations, bands, 3-grams and exact check."""
    from datasketch import MinHash, MinHashLSH

    questions, truth = repeated(rows)
    yield
    index, runs, found = MinHashLSH(num_perm=128, params=(32, 4)), {}, {}
    for seq, text in questions:
        words = text.lower().split()
        own = {" ".join(words[at : at + 3]) for at in range(len(words) - 2)}
        sketch = MinHash(num_perm=128)
        sketch.update_batch([run.encode() for run in own])
        alike = [(len(own & runs[of]) / len(own | runs[of]), -of) for of in index.query(sketch)]
        if alike and max(alike)[0] >= 0.7:
            found[seq] = -max(alike)[1]
        else:
            index.insert(seq, sketch)
            runs[seq] = own
    yield quality(found, truth)


def glan_decontaminate(rows: int) -> Iterator:
    """Look up questions and answers in the n-gram index."""
    from glan_core.dataset.benchmark_files import BenchmarkItem
    from glan_core.dataset.ngram_index import NgramIndex

    items, pairs, truth = contaminated(rows)
    yield
    index = NgramIndex([BenchmarkItem("benchmark", "test", str(number), text) for number, text in enumerate(items)])
    found = {}
    for start in range(0, rows, PAGE):
        page = pairs[start : start + PAGE]
        for texts in ([question for question, _ in page], [answer for _, answer in page]):
            for number, matches in enumerate(index.matches(texts), start):
                if matches:
                    found[number] = max(matches, key=lambda match: match.run).item
    yield quality(found, truth)


def naive_decontaminate(rows: int) -> Iterator:
    """Look up every 13-gram of every pair in a set of the benchmark's 13-grams."""
    import re

    items, pairs, truth = contaminated(rows)
    yield

    def runs(text: str) -> Iterator[str]:
        words = re.sub(r"[^\w\s]", "", text.lower()).split()
        return (" ".join(words[at : at + 13]) for at in range(len(words) - 12))

    known: dict[str, int] = {}
    for number, item in enumerate(items):
        known.update(dict.fromkeys(runs(item), number))
    found = {}
    for number, pair in enumerate(pairs):
        for text in pair:
            for run in runs(text):
                if run in known:
                    found.setdefault(number, known[run])
    yield quality(found, truth)


def glan_filter(rows: int) -> Iterator:
    """Apply all quality rules; every tenth answer is a refusal, truncated or repetitive."""
    from glan_core.dataset import quality_filter_job as filters
    from glan_core.dataset.settings import QualityFilterSettings

    faults = ["I'm sorry, but I can't help with that.", "The energy that is gained drives the", "So it goes on. " * 40]
    _, pairs, _ = contaminated(rows)
    rng = random.Random(2)
    small = ("the", "of", "and", "to", "in", "is", "a", "that", "for", "with")

    def prose(words: str) -> str:  # most rows of a workspace are in its language, which is detected quickly
        return " ".join(f"{word} {rng.choice(small)}" for word in words.split()) + " end."

    pairs = [(prose(q), faults[n // 10 % 3] if n % 10 == 0 else prose(a)) for n, (q, a) in enumerate(pairs)]
    tests = filters.rule_tests(
        QualityFilterSettings(rules=("refusal", "as-an-ai", "cut", "short", "depends", "hand-in", "loop", "language"))
    )
    truth = {n: {0: "refusal", 1: "cut", 2: "loop"}[n // 10 % 3] for n in range(0, rows, 10)}
    yield
    found = {n: name for n, pair in enumerate(pairs) for name, test in tests.items() if name != "language" and test(*pair)}
    for pair in pairs:
        tests["language"](*pair)
    yield quality(found, truth)


CONTENDERS: dict[str, tuple[str, Callable[[int], Iterator]]] = {
    "GLAN near-duplicates": ("dedup", glan_dedup),
    "datasketch": ("dedup", datasketch_dedup),
    "GLAN decontamination": ("decontaminate", glan_decontaminate),
    "a set of runs of 13 words": ("decontaminate", naive_decontaminate),
    "GLAN quality filters": ("filter", glan_filter),
}


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, rows: int) -> dict:
    """Run one contender in this process."""
    steps = CONTENDERS[name][1](rows)
    next(steps)
    before, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
    found = next(steps)
    return found | {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": peak_mb(), "before": before}


def main() -> None:
    """Run the contenders in sequence and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--million", action="store_true", help="GLAN alone on 1,000,000 rows, too")
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.rows)))
        return
    print("| task | contender | rows | wall s | CPU s | peak MB | of it for the work | recall | precision | CPU, GLAN = 1 |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    glan: dict[str, float] = {}
    plan = [(name, options.rows) for name in CONTENDERS]
    if options.million:
        plan += [(name, 1_000_000) for name in CONTENDERS if name.startswith("GLAN")]
    for name, rows in plan:
        argv = [sys.executable, __file__, "--only", name, "--rows", str(rows)]
        got = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        task = CONTENDERS[name][0]
        ratio = got["cpu"] / glan.setdefault(task, got["cpu"]) if rows == options.rows else None
        print(
            f"| {task} | {name} | {rows:,} | {got['wall']:.1f} | {got['cpu']:.1f} | {got['peak']:,.0f} | "
            f"{got['peak'] - got['before']:,.0f} | {got['recall']:.4f} | {got['precision']:.4f} | "
            f"{'' if ratio is None else f'{ratio:.1f}'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
