"""A round of the fault campaign: its run, its endpoint and what must hold."""

import math
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.runs import Served, content, wait_for
from support.training_fixtures import tiny_order

from glan_core import runs
from glan_core.records import Node
from glan_core.resources import CHECKOUT
from glan_core.runs import launcher
from glan_core.workspace import Workspace

IN_FLIGHT = 8
ALLOWANCE = math.ceil(IN_FLIGHT / 4)  # replies that are received and not yet stored
LATENCY_MS = 15
# Ignored signals stay ignored in children; `preexec_fn` could deadlock in a process with threads.
DEFAULT_SIGNALS = ("env", "--default-signal=HUP,INT,QUIT")
WORKER = Path(__file__).with_name("faulty_worker.py")
NODES = [
    Node("natural", "Natural sciences", "field"), Node("caves", "Cave mapping", "discipline", "natural"),
    Node("bells", "Bell founding", "discipline", "natural"),
]  # fmt: skip
SETTINGS = {
    "target": {"disciplines": ["caves", "bells"], "subject_queries": 1, "questions_per_syllabus": 10}, "max_in_flight": IN_FLIGHT,
    "seed": 3, "teacher": "openai:scripted",
}  # fmt: skip
TRAINING = tiny_order("undisturbed", epochs=4, evaluations=6)
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
        separate: Whether the round is about something else than a generation run, and has checked it.
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
    separate: bool = False
    broken: list[str] = field(default_factory=list)
    before: int = 0
    repaid: int = 0

    def start(self, *wrapper: str) -> subprocess.Popen:
        """Start the worker of the run; `wrapper` names a fault of its machine and when it begins."""
        if not self.run_id:
            self.run_id = runs.submit(self.ws, "generate", "test", {**SETTINGS, "base_url": self.url})
        words = [str(WORKER), *wrapper] if wrapper else ["-m", "glan_core", "work"]
        return subprocess.Popen(
            [*DEFAULT_SIGNALS, sys.executable, "-P", *words, str(self.ws.folder), str(self.run_id)], start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OPENAI_API_KEY": "x"},
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


def same_content(one: Round, ws: Workspace) -> None:
    """Check that a workspace equals the undisturbed one."""
    found = content(ws)
    for table, wanted in TOTAL["content"].items():
        if found[table] != wanted:
            one.broken.append(f"{table} has {len(found[table])} rows that differ from the {len(wanted)} of an undisturbed run")
