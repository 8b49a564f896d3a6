"""The faults of the campaign: each is a function that lets a round meet it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import apsw
from faults.rounds import ALLOWANCE, ENDED, IN_FLIGHT, LATENCY_MS, SETTINGS, TOTAL, TRAINING, Round, same_content
from support.runs import Served, execute_run, wait_for

from glan_core import runs
from glan_core.chat import conversations
from glan_core.chat.conversations import ConversationSettings
from glan_core.models import server_client, tuned_model_store
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.operations import backup_job
from glan_core.operations.workspace_check import find_faults
from glan_core.resources import CHECKOUT
from glan_core.runs import launcher
from glan_core.workspace import Workspace, chat_rows, training_rows
from glan_core.workspace.workspace import FILE


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
        child = one.start(fault, str(one.rng.randrange(3, 50)))
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
    served = one.served_calls()
    if again.state() != "finished":
        again.finish()
    one.before += one.served_calls() - served  # those of the copy
    same_content(one, back)
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


def trainer_killed(one: Round) -> None:
    """kill -9 of a fine-tuning run; the continued one ends with the same weights."""
    one.separate = True
    shutil.copytree(TOTAL["taught"], one.folder / "taught")
    ws = Workspace.open(one.folder / "taught")
    run_id = runs.submit(ws, "finetune", "killed", {**TRAINING, "name": "killed"})
    wanted = one.rng.randrange(1, TOTAL["steps"])
    for _ in range(6):
        child = train(ws, run_id)
        reached = lambda: (last := training_rows.last_step(ws.db, run_id)) and last.step >= wanted  # noqa: E731
        wait_for(lambda child=child, reached=reached: reached() or child.poll() is not None, "a step", 180)
        if not one.kills and child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            one.kills += 1
        child.wait(180)
        wait_for(lambda: runs.state_of(runs.get(ws, run_id)) in (*ENDED, "lost"), "the run has ended or is lost")
        if runs.state_of(runs.get(ws, run_id)) == "finished":
            break
        launcher.requeue(ws, run_id)
    if tuned_model_store.read_model(ws, "killed").weights_hash != TOTAL["weights"]:
        one.broken.append("the weights differ from those of an undisturbed run")
    if faults := [fault.what for fault in find_faults(ws)]:
        one.broken.append(f"faults of the workspace: {faults[0]}")
    ws.close()


def train(ws: Workspace, run_id: int) -> subprocess.Popen:
    """Start the worker of a fine-tuning run: with one thread, on which sums depend, and without the model server of other rounds."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "glan_core", "work", str(ws.folder), str(run_id)], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "GLAN_RUNTIME": str(ws.folder / "runtime")},
    )  # fmt: skip


def model_server_killed(one: Round) -> None:
    """kill -9 of the model server while it answers in a chat; what was stored stays, and the next answer comes from a new one."""
    one.separate = True
    os.environ["GLAN_RUNTIME"] = str(one.folder / "runtime")
    shutil.copytree(TOTAL["taught"], one.folder / "taught")
    ws = Workspace.open(one.folder / "taught")
    settings = ConversationSettings(specs=("tuned:undisturbed",), decoding=SeededDecodingParams(temperature=0, max_tokens=4000))
    id = conversations.ask(ws, None, settings, "hello")
    turn = conversations.get_conversation(ws, id).head
    wait_for(lambda: any(reply.text for reply in chat_rows.replies(ws.db, turn, 0)), "some text is stored")
    status = server_client.status()
    if status:
        os.kill(status["pid"], signal.SIGKILL)
        one.kills += 1
    wait_for(lambda: server_client.status() is None, "the server has ended")
    (reply,) = conversations.view_turn(ws, turn).replies
    if not reply.text or reply.state not in ("failed", "done"):
        one.broken.append(f"the reply is {reply.state} with {len(reply.text)} characters")
    conversations.regenerate(ws, turn)
    wait_for(lambda: any(reply.text for reply in chat_rows.replies(ws.db, turn, 1)), "a new server answers")
    conversations.stop_turn(ws, turn)
    server_client.release()
    if faults := [fault.what for fault in find_faults(ws)]:
        one.broken.append(f"faults of the workspace: {faults[0]}")
    ws.close()


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
    "kill -9 of the trainer": trainer_killed, "kill -9 of the model server": model_server_killed,
    "endpoint faults": endpoint, "endpoint gone": outage,
}  # fmt: skip
