"""Stored benchmark scores and items for tests of their display."""

import time

from support.benchmark_files import ARC, GSM8K, HUMANEVAL, MMLU

from glan_core.evaluation.benchmarks.item_store import ScoredItem, items_file, write_items
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, IFEVAL, MMLU_GROUPS
from glan_core.workspace import Workspace, benchmark_score_rows
from glan_core.workspace.benchmark_score_rows import Score

EVIL = "![x](https://evil.example/x.png) <script>alert(1)</script> :red[loud] # big"


def put_scores(ws: Workspace, name: str = "student", **changes) -> None:
    """Store scores of a tuned model and its base; the tuned one is better except on MMLU by probability."""
    for model, better in ((f"tuned:{name}", 0.12), (f"base:{name}", 0.0)):
        for nth, benchmark in enumerate(BENCHMARKS.values()):
            for way_name, way in benchmark.ways.items():
                about = {
                    "shots": way.shots, "filter": f"{way.measure.metric},{way.measure.filter}", "measure": way.measure.words,
                    "template": "abc", "limit": 100, "seed": 1234, "lm_eval": "0.4.13", "base": "", "max_tokens": way.tokens,
                    "data": "sha256:0", "task": way.definition, **changes,
                }  # fmt: skip
                value = 0.2 + 0.06 * nth + (better if way_name == "generated" else -better / 4)
                parts = {"": value, **dict.fromkeys(benchmark.groups, value), **dict.fromkeys(way.others, value + 0.03)}
                parts |= {part: value + 0.02 * (n % 5) - 0.04 for n, part in enumerate(benchmark.parts) if part}
                if benchmark.id == "mmlu":
                    parts |= {group: value + 0.05 * n - 0.1 for n, group in enumerate(MMLU_GROUPS)}
                if benchmark.id == "ifeval":
                    parts |= {measure: value + 0.04 * n for n, measure in enumerate(IFEVAL)}
                key = (f"sha256:{model}", benchmark.id, way_name)
                with ws.write() as db:
                    benchmark_score_rows.set_scores(db, [
                        Score(model, *key, part, score, 0.03, 100 if not part else 20, about, None, time.time() - 60 * nth)
                        for part, score in parts.items()
                    ])  # fmt: skip
                write_items(items_file(ws, *key, about), items_of(benchmark.id, way_name))


def items_of(benchmark: str, way: str) -> list[ScoredItem]:
    """Return items with right, wrong and malicious answers."""
    if benchmark == "mmlu":
        return [
            ScoredItem(subject, f"The following are multiple choice questions.\n\n{row['question']}\nAnswer:", "" if way == "probability" else EVIL,
                 "A", "ABCD"[row["answer"]], float(row["answer"] == 0), options=(("A", -0.4), ("B", -1.7), ("C", -3.2), ("D", -4.0))
                 if way == "probability" else ())
            for subject, rows in MMLU.items() for row in rows
        ]  # fmt: skip
    if benchmark == "humaneval":
        return [
            ScoredItem(
                "", row["prompt"], "    return x\n", row["prompt"] + "    return x\n", row["test"], float(n == 0),
                "AssertionError" if n else "",
            )
            for n, row in enumerate(HUMANEVAL)
        ]  # fmt: skip
    if benchmark in ("arc_easy", "arc_challenge"):
        return [
            ScoredItem("", row["question"], "The best answer is B.", "B", row["answerKey"], float(row["answerKey"] == "B"))
            for row in ARC
        ]
    return [
        ScoredItem("", f"Question: {row['question']}\nAnswer:", f"{row['answer']} {EVIL}", row["answer"].split()[-1], row["answer"], float(n % 2))
        for n, row in enumerate(GSM8K)
    ]  # fmt: skip
