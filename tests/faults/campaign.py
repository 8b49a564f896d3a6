"""Fault campaign: seeded rounds, each a run that meets one fault, is continued, and must end as an undisturbed one.

`make faults` runs 200 rounds and writes docs/reliability.md; test_campaign.py runs a few.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults.fault_kinds import FAULTS, train
from faults.rounds import ALLOWANCE, IN_FLIGHT, LATENCY_MS, NODES, SETTINGS, TOTAL, TRAINING, Round, same_content
from support.runs import Served, content, execute_run

from glan_core import runs
from glan_core.models import tuned_model_store
from glan_core.operations.workspace_check import find_faults
from glan_core.records import Node
from glan_core.resources import CHECKOUT
from glan_core.taxonomy import tree_editing
from glan_core.teachers.scripted.faults import Faults
from glan_core.workspace import Workspace


def _texts(ws: Workspace) -> dict[str, str]:
    """Every stored question, answer and syllabus by its id."""
    return dict(
        ws.db.execute(
            "SELECT id, text FROM questions UNION ALL SELECT id, text FROM answers UNION ALL SELECT id, text FROM syllabi"
        )
    )


def check(one: Round, kept: dict[str, str]) -> None:
    """Check what must hold after a round.

    Args:
        one: The round, whose run is finished.
        kept: Texts that were stored when the fault had passed.
    """
    now = _texts(one.ws)
    if changed := [id for id, text in kept.items() if now.get(id) != text]:
        one.broken.append(f"{len(changed)} stored rows were lost or changed")
    if faults := [fault.what for fault in find_faults(one.ws)]:
        one.broken.append(f"faults of the workspace: {faults[0]}")
    same_content(one, one.ws)
    stored, served = one.calls(), one.served_calls()
    one.repaid = served - stored
    again = one.ws.db.execute(
        "SELECT count(*) - count(DISTINCT work_id || stage) FROM calls WHERE outcome = 'stored'"
    ).fetchone()[0]
    if again:
        one.broken.append(f"{again} calls are stored twice")
    if not 0 <= served - stored <= one.kills * (IN_FLIGHT + ALLOWANCE):
        one.broken.append(f"{served} calls were served and {stored} stored after {one.kills} kills")


def play(number: int, fault: str, home: Path) -> Round:
    """Play a round and return it with what did not hold."""
    faults = Faults.spread(0.3, retry_after=0.05) if fault == "endpoint faults" else Faults()
    with Served(latency_ms=LATENCY_MS, record=True, seed=number, faults=faults) as served:
        return _play(number, fault, home / f"round-{number}", served)


def _play(number: int, fault: str, folder: Path, served: Served) -> Round:
    ws = Workspace.create(folder / "ws")
    tree_editing.import_nodes(ws, NODES, "test")
    one = Round(number, fault, folder, ws, served, served.url, rng=random.Random(number))
    try:
        FAULTS[fault](one)
        if not one.lost and not one.separate:
            kept = _texts(one.ws)
            if one.state() not in ("finished", "cancelled"):
                one.finish()
            check(one, kept)
    except Exception as error:
        one.broken.append(f"{type(error).__name__}: {error}")
    finally:
        if not one.lost:
            one.ws.close()
        shutil.rmtree(folder, ignore_errors=True)
    return one


def prepare(home: Path) -> None:
    """Measure the undisturbed run."""
    ws = Workspace.create(home / "undisturbed")
    tree_editing.import_nodes(ws, NODES, "test")
    with Served(latency_ms=1) as served:
        execute_run(ws, {**SETTINGS, "base_url": served.url})
    taught = _taught(home)
    run_id = runs.submit(taught, "finetune", "undisturbed", {**TRAINING, "name": "undisturbed"})
    train(taught, run_id).wait(300)
    model = tuned_model_store.read_model(taught, "undisturbed")
    taught.close()
    TOTAL.update(taught=taught.folder, weights=model.weights_hash, steps=model.steps)
    TOTAL.update(calls=ws.db.execute("SELECT count(*) FROM calls").fetchone()[0], content=content(ws))
    ws.close()


def _taught(home: Path) -> Workspace:
    """Create a workspace with a snapshot to train on."""
    ws = Workspace.create(home / "taught")
    tree_editing.import_nodes(ws, [*NODES, Node("music", "Music", "discipline", "natural")], "test")
    execute_run(ws, {"target": {"disciplines": ["music"], "subject_queries": 1, "questions_per_syllabus": 28}})
    execute_run(ws, {"name": "first", "split": "combination", "validation_share": 0.2}, kind="snapshot")
    return ws


REPORT = """# Reliability

What `make faults` measured: {rounds} rounds with seeds {first} to {last}. Each round starts a run of {calls} calls to an endpoint on
this machine with up to {in_flight} requests at a time, lets it meet one fault at a random moment, continues it, and checks the result.

A round holds if SQLite's integrity check is clean and `glan doctor --workspace` finds no fault; no stored row was lost, changed or
stored twice; all content equals that of an undisturbed run with the same seed, so no question has another's answer; and the endpoint
served at most {bound} calls more than were stored per process that was killed without warning. This bound is `--max-in-flight` plus a
store allowance of a quarter of it: replies that were received and not yet stored. A page server that is killed is not counted: runs are
processes of their own, so no call may be served again after it.

| fault | rounds | held | killed without warning | calls served again, mean | most |
| --- | ---: | ---: | ---: | ---: | ---: |
{table}

{broken}

How the faults are made: signals are sent to the process of the run; a full disk and a read-only file system are reported by SQLite itself
(`max_page_count`, `query_only`); clocks jump by up to a day; the database is locked by another process; folders and files are moved,
replaced and deleted; endpoints fail by 30 % or end. Two studios are two processes of `glan studio` on one workspace: over their websockets,
as browsers do, sessions open the Runs page of each and press *Start*; then `kill -9` ends one server, while its run goes on or at the
moment of the start, and the other one's page cancels, pauses or continues a run. `tests/faults/fault_kinds.py` has all faults.

Runs in batches are killed in `tests/generation/test_batch_restarts.py` before and after every transaction, request file and request to a
double of the Batch API, singly and again and again; each request must be submitted, answered and stored once.
"""


def report(rounds: list[Round]) -> str:
    """Return docs/reliability.md."""
    lines = []
    for fault in FAULTS:
        of = [one for one in rounds if one.fault == fault]
        if of:
            again = [one.repaid for one in of if not one.lost and not one.separate]
            mean = f"{sum(again) / len(again):.1f}" if again else "–"
            most = max(again) if again else "–"
            held = sum(not one.broken for one in of)
            lines.append(f"| {fault} | {len(of)} | {held} | {sum(one.kills for one in of)} | {mean} | {most} |")
    broken = [f"- Round {one.number}, {one.fault}: {'; '.join(one.broken)}." for one in rounds if one.broken]
    return REPORT.format(
        rounds=len(rounds), first=rounds[0].number, last=rounds[-1].number, calls=TOTAL["calls"], in_flight=IN_FLIGHT,
        bound=IN_FLIGHT + ALLOWANCE, table="\n".join(lines), broken="\n".join(broken) or "Every round held.",
    )  # fmt: skip


def main() -> int:
    """Play the campaign and write the report; return 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=4, help="rounds at a time (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "docs" / "reliability.md")
    args = parser.parse_args()
    names, rounds = list(FAULTS), []
    with tempfile.TemporaryDirectory(prefix="glan-faults-") as folder, ThreadPoolExecutor(args.jobs) as pool:
        home = Path(folder)
        prepare(home)
        numbers = range(args.seed, args.seed + args.rounds)
        for one in pool.map(lambda number: play(number, names[number % len(names)], home), numbers):
            rounds.append(one)
            print(f"{one.number:4d}  {one.fault:<24} {'ok' if not one.broken else '; '.join(one.broken)}", flush=True)
    args.out.write_text(report(rounds), "utf-8")
    print(dict(Counter(not one.broken for one in rounds)))
    return 1 if any(one.broken for one in rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
