"""Faults of page servers: two of them on one workspace, whose pages start and control runs, and one is killed."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from faults.rounds import ENDED, SETTINGS, Round
from support.child_servers import Server
from support.page_session import PageSession
from support.runs import wait_for

from glan_core import runs
from glan_core.resources import CHECKOUT
from glan_core.workspace import run_rows

PAUSE, CANCEL, CONTINUE = "pause", "cancel", "go_on"  # keys of the buttons of a run
MOMENTS = ("at once", "once the run is stored", "once its worker is known")


@contextmanager
def two_servers(one: Round) -> Iterator[tuple[Server, Server]]:
    """Start two page servers, each by `glan studio`, on the folder of the round's workspace."""
    config = one.folder / "config"
    config.mkdir()
    (config / "tour-seen").touch()
    environment = {
        "PYTHONPATH": str(CHECKOUT), "OPENAI_API_KEY": "x", "GLAN_CONFIG_HOME": str(config), "GLAN_RUNTIME": str(one.folder / "runtime"),
    }  # fmt: skip
    words = ["glan_core", "studio", str(one.folder), "--no-browser", "--port", "{port}"]

    def started(number: int) -> Server:
        return Server(words, "/_stcore/health", one.folder / f"studio-{number}.log", environment)

    with ThreadPoolExecutor(2) as pool:
        starting = [pool.submit(started, number) for number in (1, 2)]
    try:
        first, second = (server.result() for server in starting)
        yield first, second
    finally:
        for server in starting:
            if not server.exception():
                server.result().stop()


def watch(one: Round, server: Server, run_id: int) -> PageSession:
    """Open the Runs page at a run."""
    return PageSession(server.url, "runs", f"workspace={one.ws.folder.name}&runs_view=Watch&run={run_id}")


def planned(one: Round, server: Server) -> PageSession:
    """Open the Runs page and fill the form of a run with the settings of an earlier one, which was cancelled before it started."""
    if not one.run_id:
        one.run_id = runs.submit(one.ws, "generate", "earlier", {**SETTINGS, "base_url": one.url})
        runs.cancel(one.ws, one.run_id)
    page = watch(one, server, one.run_id)
    page.press("Run again")
    return page


def newest(one: Round) -> int:
    """Id of the newest run."""
    return run_rows.runs(one.ws.db, 1)[0].id


def press(one: Round, server: Server, run_id: int, button: str) -> bool:
    """Press a button of a run on the Runs page; return False if the page does not offer it, as for a run that has ended."""
    with watch(one, server, run_id) as page:
        key = f"{button}_{run_id}"
        if key in page.buttons:
            page.press(key)
        return key in page.buttons


def kill_server(server: Server) -> None:
    """kill -9 of a page server; the processes of runs are not in its group."""
    os.killpg(server.child.pid, signal.SIGKILL)
    server.child.wait(20)


def ended(one: Round, run_id: int) -> str:
    """Wait until a run has ended or is lost; return its state."""

    def state() -> str:
        return runs.state_of(runs.get(one.ws, run_id))

    wait_for(lambda: state() in (*ENDED, "lost"), f"run {run_id} ends", 120)
    return state()


def two_studios(one: Round) -> None:
    """Two page servers start a run each; one is killed with -9 while the runs go on, and the other controls one of the runs."""
    with two_servers(one) as servers, planned(one, servers[0]) as left, planned(one, servers[1]) as right:
        left.press("Start")  # both pages have planned the same calls
        first = newest(one)
        right.press("Start")
        second = newest(one)
        wanted = one.rng.randrange(1, 200)
        wait_for(lambda: one.calls() >= wanted, f"{wanted} calls")
        dead, alive = one.rng.sample(servers, 2)
        kill_server(dead)
        acted = one.rng.choice((first, second))
        if one.rng.random() < 0.5:
            press(one, alive, acted, CANCEL)
        elif press(one, alive, acted, PAUSE) and ended(one, acted) == "paused":
            press(one, alive, acted, CONTINUE)  # not offered if the other run has done everything
        states = {run_id: ended(one, run_id) for run_id in (first, second)}
        other = second if acted == first else first
        if states[other] != "finished" or states[acted] not in ("finished", "cancelled", "paused"):
            one.broken.append(f"the runs are {states} after run {acted} was controlled from the other studio")
        one.run_id = other


def killed_at_start(one: Round) -> None:
    """kill -9 of a page server while a page starts a run; the run is continued or started from another studio."""
    with two_servers(one) as (dead, alive), planned(one, dead) as page:
        earlier, moment = one.run_id, one.rng.choice(MOMENTS)
        page.press("Start", wait=False)
        if moment != MOMENTS[0]:
            wait_for(lambda: newest(one) != earlier and (moment == MOMENTS[1] or runs.get(one.ws, newest(one)).pid), moment)
        kill_server(dead)
        if newest(one) == earlier:
            with planned(one, alive) as other:
                other.press("Start")
        one.run_id = newest(one)
        if ended(one, one.run_id) == "lost":
            press(one, alive, one.run_id, CONTINUE)
            ended(one, one.run_id)
        if one.state() != "finished":
            one.broken.append(f"the run is {one.state()} although only a page server was killed, {moment}")
