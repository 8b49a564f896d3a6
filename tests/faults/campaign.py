"""Fault campaign: seeded rounds, each a run that meets one fault, is continued, and must end as an undisturbed one.

`make faults` runs 200 rounds and writes docs/reliability.md; test_campaign.py runs a few.
"""

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import apsw
from support.runs import Served, content, execute_run, wait_for

from glan_core import runs
from glan_core.operations import backup_job
from glan_core.operations.workspace_check import find_faults
from glan_core.records import Node
from glan_core.resources import CHECKOUT
from glan_core.runs import launcher
from glan_core.taxonomy import tree_editing
from glan_core.teachers.scripted.faults import Faults
from glan_core.workspace import Workspace
from glan_core.workspace.workspace import FILE

IN_FLIGHT = 8
ALLOWANCE = math.ceil(IN_FLIGHT / 4)  # replies that are received and not yet stored
LATENCY_MS = 15
WORKER = Path(__file__).with_name("faulty_worker.py")
NODES = [
    Node("natural", "Natural sciences", "field"), Node("caves", "Cave mapping", "discipline", "natural"),
    Node("bells", "Bell founding", "discipline", "natural"),
]  # fmt: skip
SETTINGS = {
    "target": {"disciplines": ["caves", "bells"], "subject_queries": 1, "questions_per_syllabus": 10}, "max_in_flight": IN_FLIGHT,
    "seed": 3, "teacher": "openai:scripted",
}  # fmt: skip
ENDED = ("finished", "paused", "failed", "cancelled")


@dataclass
class Round:
    """One round.

    Attributes:
        number: Its number, which seeds its random choices.
        fault: Name of the fault.
        folder: Its own folder.
        ws: Its workspace, in `folder/ws`.
        served: The endpoint, which counts what it served.
        url: Address of the endpoint.
        run_id: The run.
        rng: Random choices.
        kills: Number of processes that were killed without warning.
        lost: Whether the fault took the workspace away for good.
        broken: What did not hold.
        before: Calls that the endpoint had served before the round.
        repaid: Calls that were served and not stored.
    """

    number: int
    fault: str
    folder: Path
    ws: Workspace
    served: Served
    url: str
    run_id: int = 0
    rng: random.Random = field(default_factory=random.Random)
    kills: int = 0
    lost: bool = False
    broken: list[str] = field(default_factory=list)
    before: int = 0
    repaid: int = 0

    def start(self, *wrapper: str) -> subprocess.Popen:
        """Start the worker of the run; `wrapper` names a fault of its machine and when it begins."""
        if not self.run_id:
            self.run_id = runs.submit(self.ws, "generate", "test", {**SETTINGS, "base_url": self.url})
        words = [str(WORKER), *wrapper] if wrapper else ["-m", "glan_core", "work"]
        return subprocess.Popen(
            [sys.executable, "-P", *words, str(self.ws.folder), str(self.run_id)], start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OPENAI_API_KEY": "x"}, preexec_fn=_default_signals,
        )  # fmt: skip

    def calls(self) -> int:
        """Stored calls that the endpoint served."""
        return self.ws.db.execute("SELECT count(*) FROM calls WHERE outcome != 'lost'").fetchone()[0]

    def served_calls(self) -> int:
        """Calls that the endpoint served in this round."""
        return sum(self.served.tells("/requests").values()) - self.before

    def reach(self, child: subprocess.Popen) -> None:
        """Wait until a random number of calls is stored, or the worker has ended."""
        wanted = self.rng.randrange(1, max(2, TOTAL["calls"]))
        wait_for(lambda: self.calls() >= wanted or child.poll() is not None, f"{wanted} calls")

    def state(self) -> str:
        """Actual state of the run."""
        return runs.state_of(runs.get(self.ws, self.run_id))

    def requeue(self) -> None:
        """Queue the run again, as its continuation does."""
        wait_for(lambda: self.state() in (*ENDED, "lost"), "the run has ended or is lost")
        if self.state() != "finished":
            launcher.requeue(self.ws, self.run_id)

    def finish(self) -> None:
        """Continue the run until it is finished."""
        for _ in range(6):
            self.requeue()
            if self.state() == "finished":
                return
            self.start().wait(120)
        self.broken.append(f"the run is {self.state()} after six continuations: {runs.get(self.ws, self.run_id).message}")


TOTAL: dict = {}  # calls and content of the undisturbed run


def _default_signals() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


# ---------------------------------------------------------------------------------------------------------------- faults


def kill(one: Round) -> None:
    """kill -9 of the runner, once to three times."""
    for _ in range(one.rng.randint(1, 3)):
        child = one.start()
        one.reach(child)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            one.kills += 1
        child.wait(20)
        one.requeue()


def _signal(number: signal.Signals) -> Callable[[Round], None]:
    def send(one: Round) -> None:
        child = one.start()
        wait_for(lambda: one.calls() or child.poll() is not None, "the first call")
        one.reach(child)
        if child.poll() is None:
            child.send_signal(number)
        if child.wait(60) != 0:
            one.broken.append(f"exit code {child.returncode} after {number.name}")
        if one.calls() != one.served_calls():
            one.broken.append(f"{one.served_calls()} calls were served and {one.calls()} stored after {number.name}")
        if one.state() not in ("paused", "finished"):
            one.broken.append(f"the run is {one.state()} after {number.name}")

    return send


def _machine(fault: str, states: tuple[str, ...]) -> Callable[[Round], None]:
    def break_it(one: Round) -> None:
        child = one.start(fault, f"{one.rng.uniform(0.5, 3.5):.2f}")
        child.wait(120)
        if one.calls() < one.served_calls():
            one.kills += 1  # what was in flight could not be stored
        if one.state() not in states:
            one.broken.append(f"the run is {one.state()} after {fault}")

    return break_it


def locked(one: Round) -> None:
    """Another process holds the write lock for a second, longer than the worker waits in every other round."""
    child = one.start(*(("short lock wait", "0") if one.number % 2 else ()))
    one.reach(child)
    other = apsw.Connection(str(one.ws.folder / FILE))
    other.set_busy_timeout(20_000)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > 1.2, "the lock was held")
    other.execute("ROLLBACK")
    other.close()
    child.wait(120)
    if one.calls() < one.served_calls():
        one.kills += 1


def moved(one: Round) -> None:
    """The workspace is moved away and back."""
    child = one.start()
    one.reach(child)
    one.ws.close()
    away = one.folder / "away"
    one.ws.folder.rename(away)
    begun = time.monotonic()
    child.wait(60)
    _stopped(one, begun)
    away.rename(one.ws.folder)
    one.kills += 1


def swapped(one: Round) -> None:
    """The database is replaced by that of another workspace, and put back."""
    other = one.folder / "other"
    Workspace.create(other).close()
    child = one.start()
    one.reach(child)
    one.ws.close()
    mine = {name: one.ws.folder / name for name in (FILE, f"{FILE}-wal", f"{FILE}-shm")}
    kept = one.folder / "kept"
    kept.mkdir()
    for name, path in mine.items():
        if path.exists():
            path.rename(kept / name)
    shutil.copy(other / FILE, mine[FILE])
    begun = time.monotonic()
    child.wait(60)
    _stopped(one, begun)
    for path in mine.values():
        path.unlink(missing_ok=True)
    for path in kept.iterdir():
        path.rename(mine[path.name])
    one.kills += 1


def deleted(one: Round) -> None:
    """The workspace is deleted for good: nothing more may be spent."""
    child = one.start()
    one.reach(child)
    one.ws.close()
    shutil.rmtree(one.ws.folder)
    begun = time.monotonic()
    child.wait(60)
    _stopped(one, begun)
    one.lost = True


def _stopped(one: Round, begun: float) -> None:
    """Check that a worker without workspace ended within seconds."""
    if (seconds := time.monotonic() - begun) > 10:
        one.broken.append(f"the worker went on for {seconds:.0f} s without its workspace")


def copied(one: Round) -> None:
    """A backup is made while the run writes; the restored copy is continued, too."""
    child = one.start()
    one.reach(child)
    file = one.folder / "backup.tar.zst"
    run = execute_run(one.ws, {"path": str(file)}, kind="backup")
    child.wait(120)
    if run.state != "finished":
        one.broken.append(f"the backup is {run.state}: {run.message}")
        return
    back = backup_job.restore_backup(file, one.folder / "restored")
    if faults := [fault.what for fault in find_faults(back)]:
        one.broken.append(f"the restored backup has faults: {faults[0]}")
    again = Round(one.number, one.fault, one.folder, back, one.served, one.url, one.run_id, one.rng)
    if again.state() != "finished":
        again.finish()
    _same(one, back)
    back.close()


def two_runs(one: Round) -> None:
    """A second run is queued behind the first, which is killed."""
    child = one.start()
    second = runs.submit(one.ws, "generate", "second", {**SETTINGS, "base_url": one.url})
    one.reach(child)
    if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
        one.kills += 1
    child.wait(20)
    wait_for(lambda: one.state() in (*ENDED, "lost"), "the first run is lost")
    first, one.run_id = one.run_id, second
    one.start().wait(120)
    if one.state() != "finished":
        one.broken.append(f"the second run is {one.state()}")
    one.run_id = first
    if one.state() == "lost":
        runs.cancel(one.ws, first)


def starter_killed(one: Round) -> None:
    """The process that started the run, such as the page server, is killed with its children of the same group."""
    script = (
        "import os, signal, sys\nfrom glan_core import runs\nfrom glan_core.workspace import Workspace\n"
        "runs.launch(Workspace.open(sys.argv[1]), int(sys.argv[2]))\nos.killpg(0, signal.SIGKILL)"
    )
    one.run_id = runs.submit(one.ws, "generate", "test", {**SETTINGS, "base_url": one.url})
    subprocess.run(
        [sys.executable, "-c", script, str(one.ws.folder), str(one.run_id)], start_new_session=True, check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OPENAI_API_KEY": "x"},
    )  # fmt: skip
    wait_for(lambda: one.state() in (*ENDED, "lost"), "the run ends", 120)
    if one.state() != "finished":
        one.broken.append(f"the run is {one.state()} although only its starter was killed")


def endpoint(one: Round) -> None:
    """30 % of the requests fail: 429, 500, resets and replies cut in transit."""
    one.start().wait(240)


def outage(one: Round) -> None:
    """The endpoint goes away and does not come back before the run gives up; another one answers the continuation."""
    with Served(latency_ms=LATENCY_MS, record=True) as gone:
        first = one.served
        one.served, one.url = gone, gone.url
        child = one.start()
        one.reach(child)
        served_before = one.served_calls()
    os.kill(child.pid, signal.SIGTERM) if child.poll() is None else None
    child.wait(120)
    stored = one.calls()
    if not 0 <= served_before + IN_FLIGHT - stored + ALLOWANCE:
        one.broken.append("more calls are stored than were served")
    one.served, one.url = first, first.url
    one.before = -stored
    wait_for(lambda: one.state() in (*ENDED, "lost"), "the run ends")
    if one.state() != "finished":
        launcher.requeue(one.ws, one.run_id, params={**SETTINGS, "base_url": one.url})
        one.start().wait(120)


FAULTS: dict[str, Callable[[Round], None]] = {
    "kill -9 of the runner": kill,
    "SIGTERM": _signal(signal.SIGTERM), "SIGINT": _signal(signal.SIGINT), "SIGHUP": _signal(signal.SIGHUP),
    "SIGQUIT": _signal(signal.SIGQUIT),
    "disk full": _machine("full disk", ("failed", "finished", "lost")),
    "read-only file system": _machine("read-only", ("failed", "finished", "lost")),
    "clock jumps": _machine("clock jumps", ("finished", "lost", "paused", "failed")),
    "database locked": locked, "workspace moved": moved, "database swapped": swapped, "workspace deleted": deleted,
    "backup while written": copied, "two runs, one killed": two_runs, "starter killed": starter_killed,
    "endpoint faults": endpoint, "endpoint gone": outage,
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- checks


def _texts(ws: Workspace) -> dict[str, str]:
    """Every stored question, answer and syllabus by its id."""
    return dict(
        ws.db.execute(
            "SELECT id, text FROM questions UNION ALL SELECT id, text FROM answers UNION ALL SELECT id, text FROM syllabi"
        )
    )


def _same(one: Round, ws: Workspace) -> None:
    """Check that a workspace equals the undisturbed one."""
    found = content(ws)
    for table, wanted in TOTAL["content"].items():
        if found[table] != wanted:
            one.broken.append(f"{table} has {len(found[table])} rows that differ from the {len(wanted)} of an undisturbed run")


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
    _same(one, one.ws)
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
        if not one.lost:
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
    TOTAL.update(calls=ws.db.execute("SELECT count(*) FROM calls").fetchone()[0], content=content(ws))
    ws.close()


REPORT = """# Reliability

What `make faults` measured: {rounds} rounds with seeds {first} to {last}. Each round starts a run of {calls} calls to an endpoint on
this machine with up to {in_flight} requests at a time, lets it meet one fault at a random moment, continues it, and checks the result.

A round holds if SQLite's integrity check is clean and `glan doctor --workspace` finds no fault; no stored row was lost, changed or
stored twice; all content equals that of an undisturbed run with the same seed, so no question has another's answer; and the endpoint
served at most {bound} calls more than were stored per process that was killed without warning. This bound is `--max-in-flight` plus a
store allowance of a quarter of it: replies that were received and not yet stored.

| fault | rounds | held | killed without warning | calls served again, mean | most |
| --- | ---: | ---: | ---: | ---: | ---: |
{table}

{broken}

How the faults are made: signals are sent to the process of the run; a full disk and a read-only file system are reported by SQLite itself
(`max_page_count`, `query_only`); clocks jump by up to a day; the database is locked by another process; folders and files are moved,
replaced and deleted; endpoints fail by 30 % or end. `tests/faults/campaign.py` has all of them.
"""


def report(rounds: list[Round]) -> str:
    """Return docs/reliability.md."""
    lines = []
    for fault in FAULTS:
        of = [one for one in rounds if one.fault == fault]
        if of:
            again = [one.repaid for one in of if not one.lost]
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
