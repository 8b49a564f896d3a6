"""Cost of embedding, maps and metrics: `python benchmarks/diversity.py --rows 100000 1000000 --naive 50000`.

For each number of rows: CPU seconds, wall seconds and peak memory of `glan embed` (offline embedder), `glan map` and `glan measure`, each in its own
process on a workspace of varied texts. For --naive rows also umap-learn on all rows, as in its documentation, as a ratio to `glan map` on the
same vectors.
"""

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from glan_core import ids
from glan_core.operations import demo_workspace
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import homework_rows
from glan_core.workspace.homework_rows import Question

ROOT = Path(__file__).parents[1]
THEMES = 40  # topics per discipline; each question mixes two
NAIVE = """
import sys, warnings; warnings.simplefilter("ignore")
from pathlib import Path
import numpy as np, umap
from glan_core.diversity.vector_store import read_vectors, vector_folder
from glan_core.workspace import Workspace
found = read_vectors(vector_folder(Workspace.open(sys.argv[1]), "words"))
print(umap.UMAP(random_state=0).fit_transform(found.rows(slice(None))).shape)
"""


def texts(rng: random.Random, disciplines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (discipline, question) without end: 60 words of two topics, of the discipline and of the language."""
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
    words = ["".join(rng.choices(syllables, k=rng.choice((2, 3, 3, 4)))) for _ in range(60_000)]
    common = words[:2000]
    own = {id: rng.sample(words, 120) for id in disciplines}
    themes = {id: [rng.sample(words, 24) for _ in range(THEMES)] for id in disciplines}
    while True:
        id = rng.choice(disciplines)
        one, other = rng.sample(themes[id], 2)
        mixed = rng.choices(one, k=18) + rng.choices(other, k=12) + rng.choices(own[id], k=12) + rng.choices(common, k=18)
        rng.shuffle(mixed)
        yield id, f"Explain {' '.join(mixed)}."


def fill(folder: Path, number: int) -> None:
    """Fill a workspace with this many pairs."""
    ws = demo_workspace.create_workspace(folder)
    rng = random.Random(7)
    source = texts(rng, hierarchy.disciplines_under(tree_editing.tree(ws)))
    for start in range(0, number, 20_000):
        with ws.write() as db:
            for n in range(start, min(number, start + 20_000)):
                discipline, text = next(source)
                id = ids.derive("qst", discipline, str(n))
                question = Question(
                    0, id, f"syl-{discipline}-{n % 40}", discipline, "single", "uniform", 0, n, (), (), text, "x"
                )
                homework_rows.add_question(db, question)
                homework_rows.add_answer(db, id, discipline, f"Because of {text[8:60]}", "x")
    ws.close()


def cost(command: list[str]) -> dict[str, float]:
    """Return CPU seconds, wall seconds and peak memory in MB of a command, which must succeed."""
    began = time.monotonic()
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command[:5])} failed with {child.returncode}.")
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 1), "wall_s": round(time.monotonic() - began, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
    }  # fmt: skip


def steps(folder: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """Return the cost of each `glan` step on a workspace, run in this order."""
    found = {}
    for name in names:
        found[name] = cost([sys.executable, "-m", "glan_core", name, str(folder), "--embedder", "words", "--json"])
        print(f"  {name:8} {json.dumps(found[name])}", flush=True)
    return found


def main() -> None:
    """Run the requested measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--naive", type=int, default=0, metavar="N")
    parser.add_argument("--steps", nargs="*", default=["embed", "map", "measure"])
    parser.add_argument("--folder", help="where the workspaces are made and kept (default: a folder that is removed)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        home = Path(options.folder or passing)
        for number in options.rows:
            print(f"{number:,} rows", flush=True)
            steps(made(home, number), options.steps)
        if options.naive:
            print(f"{options.naive:,} rows, beside umap-learn on all of them", flush=True)
            folder = made(home, options.naive)
            ours = steps(folder, ["embed", "map"])["map"]
            naive = cost([sys.executable, "-c", NAIVE, str(folder)])
            print(f"  naive    {json.dumps(naive)}")
            print(
                f"  umap-learn / glan map: CPU {naive['cpu_s'] / ours['cpu_s']:.1f}, memory {naive['peak_mb'] / ours['peak_mb']:.1f}"
            )


def made(home: Path, number: int) -> Path:
    """Return the workspace with this many rows, created if missing."""
    folder = home / f"rows-{number}"
    if not folder.exists():  # in its own process, since the peak memory of a child includes its parent's at the fork
        filling = multiprocessing.get_context("spawn").Process(target=fill, args=(folder, number))
        filling.start()
        filling.join()
    return folder


if __name__ == "__main__":
    main()
