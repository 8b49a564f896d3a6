"""Sampled mutation run: how many small faults in core modules do the tests detect? (`python benchmarks/mutation.py --sample 20`)

Cosmic Ray's operators change one comparison, number, operator or condition at a time in a copy of the checkout; the tests of the module must
then fail. Survivors are printed as diffs. Needs `pip install cosmic-ray`.
"""

import argparse
import difflib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["pytest", "_pytest.assertion", "numpy", "pandas", "pydantic", "pyarrow.parquet", "aiohttp.web", "rensa", "jinja2", "torch", "tokenizers",
             "transformers.utils.chat_template_utils", "sklearn.cluster", "scipy.stats", "scipy.special"]  # fmt: skip
OPERATORS = (
    "core/NumberReplacer", "core/AddNot", "core/ReplaceAndWithOr", "core/ReplaceOrWithAnd", "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue", "core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak", "core/ZeroIterationForLoop",
    "core/ReplaceComparisonOperator", "core/ReplaceBinaryOperator", "core/ReplaceUnaryOperator",
)  # fmt: skip
TESTS = {  # quick files first: one failure ends a run
    "homework/concept_sampling": ["homework/test_concept_sequences.py", "homework/test_concept_sampling.py"],
    "generation/work_queue": ["generation/test_work_queue.py"],
    "generation/plan": ["generation/test_plan.py"],
    "generation/rate_limits": ["generation/test_limits_by_value.py", "generation/test_outage.py"],
    "dataset/ngram_index": ["dataset/test_ngram_index.py", "dataset/test_decontamination.py"],
    "dataset/duplicate_comparison": ["dataset/test_duplicate_finder.py"],
    "dataset/duplicate_finder": ["dataset/test_duplicate_finder.py", "dataset/test_near_duplicates.py"],
    "dataset/decontamination_job": ["dataset/test_decontamination_evidence.py", "dataset/test_decontamination.py"],
    "dataset/snapshot_store": ["dataset/test_snapshot_store.py"],
    "dataset/snapshot_job": ["dataset/test_snapshot_store.py"],
    "dataset/splits": ["dataset/test_splits.py"],
    "diversity/metrics": ["diversity/test_metric_values.py"],
    "evaluation/judge/match_statistics": ["evaluation/test_match_statistics.py"],
    "evaluation/contamination/probe_job": ["evaluation/test_probe_statistics.py"],
    "evaluation/contamination/token_loss": ["evaluation/test_token_loss.py"],
    "training/chat_encoding": ["training/test_encoded_pairs.py", "training/test_chat_encoding.py"],
    "workspace/output_paths": ["workspace/test_output_paths.py"],
}


def mutations(module: str, sample: int, seed: int) -> list[dict]:
    """A sample of the mutations of a module: operator, arguments and occurrence."""
    import cosmic_ray.plugins
    from cosmic_ray.ast import ast_nodes, get_ast_from_path

    tree, found = get_ast_from_path(ROOT / f"glan_core/{module}.py"), []
    for name in cosmic_ray.plugins.operator_names():
        operator_class = cosmic_ray.plugins.get_operator(name)
        if not name.startswith(OPERATORS) or "BitOr" in name or operator_class.arguments():
            continue
        places = [place for node in ast_nodes(tree) for place in operator_class().mutation_positions(node)]
        found += [{"operator": name, "occurrence": occurrence} for occurrence in range(len(places))]
    return random.Random(seed).sample(found, min(sample, len(found)))


def outcome(copy: Path, module: str, mutation: dict, seconds: float) -> tuple[str, str]:
    """Apply a mutation in a copy and run the tests: ('killed', 'survived', 'timeout' or 'unchanged', diff)."""
    from cosmic_ray.mutating import apply_mutation
    from cosmic_ray.plugins import get_operator

    file = copy / "glan_core" / f"{module}.py"
    original = file.read_text("utf-8")
    try:
        apply_mutation(file, get_operator(mutation["operator"])(), mutation["occurrence"])
        lines = difflib.unified_diff(original.splitlines(), file.read_text("utf-8").splitlines(), lineterm="", n=0)
        diff = "\n".join(line for line in lines if line[:3] not in ("+++", "---"))
        if not diff:
            return "unchanged", ""
        return {True: "survived", False: "killed", None: "timeout"}[passes(copy, module, seconds)], diff
    finally:
        file.write_text(original, "utf-8")


def passes(copy: Path, module: str, seconds: float) -> bool | None:
    """Return whether the tests of a module pass in a copy; None if they take longer than `seconds`."""
    tests = [f"tests/{name}" for name in TESTS[module] if (copy / "tests" / name).exists()]
    child = CONTEXT.Process(target=_run_tests, args=(str(copy), tests))
    child.start()
    child.join(seconds)
    if child.exitcode is None:
        child.kill()
        child.join()
        return None
    return child.exitcode == 0


def _run_tests(copy: str, tests: list[str]) -> None:
    """Run tests in a copy of the checkout; the fork server has imported third-party packages before."""
    import pytest

    os.chdir(copy)
    sys.path[:] = [copy, *(place for place in sys.path if Path(place).resolve() != ROOT)]
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not browser", *tests])))


def main() -> None:
    """Run the sample and print a table and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=20, help="mutations per module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--modules", nargs="*", default=list(TESTS))
    parser.add_argument("--out", type=Path, help="write the outcomes as JSON")
    args = parser.parse_args()
    os.environ["PYTHONHASHSEED"] = "0"  # of the fork server and its children
    CONTEXT.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        copies: Queue[Path] = Queue()
        for n in range(args.workers):
            copy = Path(folder) / str(n)
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "workspaces", "dist"))
            copies.put(copy)
        results = []
        for module in args.modules:
            copy = copies.get()
            started = time.monotonic()
            assert passes(copy, module, 600), f"the tests of {module} fail without a mutation"
            limit = 30 + 4 * (time.monotonic() - started)
            copies.put(copy)

            def run(mutation: dict, module=module, limit=limit) -> dict:
                copy = copies.get()
                try:
                    state, diff = outcome(copy, module, mutation, limit)
                finally:
                    copies.put(copy)
                return mutation | {"module": module, "outcome": state, "diff": diff}

            with ThreadPoolExecutor(args.workers) as pool:
                done = [
                    one for one in pool.map(run, mutations(module, args.sample, args.seed)) if one["outcome"] != "unchanged"
                ]
            results += done
            survived = [one for one in done if one["outcome"] == "survived"]
            late = sum(one["outcome"] == "timeout" for one in done)
            print(f"{module}: {len(survived)} of {len(done)} survived" + (f", {late} timed out" if late else ""), flush=True)
            for one in survived:
                print("   ", one["operator"], *one["diff"].splitlines(), sep="\n    ", flush=True)
        survived = sum(one["outcome"] == "survived" for one in results)
        print(f"{survived} of {len(results)} survived ({survived / max(1, len(results)):.0%})")
        if args.out:
            args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
