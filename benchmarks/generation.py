"""Cost of a stored call: the engine beside bare loops that store nothing, against one endpoint of known latency.

    python benchmarks/generation.py                 # 5,000 calls each
    python benchmarks/generation.py --large 50000   # also the engine with more calls
    python benchmarks/generation.py --curator PATH/bin/python   # also bespokelabs-curator, installed in an environment of its own

The endpoint is the scripted teacher in its own process with a latency of 200 ms. The engine fills a workspace on disk through `runs.work`, as `glan`
does, with every record, heartbeat and the full-text index; the curriculum is created before the measurement, so that only questions and
answers are requested. Syllabi have 2,500 tokens, as in the paper. The bare loops send the same chats. Each contender runs in its own process; CPU
time and memory are that process's, without imports.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import date
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glan_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LATENCY_MS = 200
DISCIPLINES = 12
SYLLABUS_TOKENS = 2500  # as in the paper; the scripted teacher's are shorter
SAMPLE_OF_CHATS = 400
CONTENDERS = {
    "bare aiohttp loop": "aiohttp",
    "GLAN engine, all stored": "engine",
    "bare openai.AsyncOpenAI loop": "openai",
}  # fmt: skip


def main() -> None:
    """Run all contenders and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--large", type=int, default=0, metavar="N", help="also run the engine with N calls, for its memory")
    parser.add_argument("--curator", metavar="PYTHON", help="also bespokelabs-curator, with the Python of its environment")
    parser.add_argument("--rounds", type=int, default=1, help="repeat all, and show each contender's best round")
    parser.add_argument("--child", choices=[*CONTENDERS.values(), "prepare"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(_child(args)))
        return
    with tempfile.TemporaryDirectory(prefix="glan-benchmark-") as folder, _Endpoint() as url:
        results = []
        for round_number in range(args.rounds):
            place = Path(folder) / str(round_number)
            _run("prepare", args, url, place, args.calls)
            for name, child in CONTENDERS.items():
                results.append({"contender": name, **_run(child, args, url, place, args.calls)})
            if args.curator:
                results.append({"contender": "bespokelabs-curator", **_run_curator(args, url, place)})
        if args.large:
            place = Path(folder) / "large"
            _run("prepare", args, url, place, args.large)
            results.append({"contender": "GLAN engine, all stored", **_run("engine", args, url, place, args.large)})
    report(_best(results), args.in_flight)


def _best(results: list[dict]) -> list[dict]:
    """Return for each contender and number of calls the round with the least CPU time."""
    best: dict[tuple, dict] = {}
    for result in results:
        key = result["contender"], result["calls"]
        if key not in best or result["cpu_s"] < best[key]["cpu_s"]:
            best[key] = result
    return list(best.values())


def report(results: list[dict], in_flight: int) -> None:
    """Print the table, and the same as JSON."""
    ideal = in_flight / (LATENCY_MS / 1000)
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
          f"{in_flight} in flight at {LATENCY_MS} ms: at most {ideal:,.0f} calls/s\n")  # fmt: skip
    print(
        "| contender | calls | wall s | calls/s | share of ideal | CPU s | calls per CPU-second | peak RSS MB | grown by MB |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for r in results:
        r["calls_per_s"] = round(r["calls"] / r["wall_s"], 1)
        r["share_of_ideal"] = round(r["calls_per_s"] / ideal, 3)
        r["calls_per_cpu_s"] = round(r["calls"] / r["cpu_s"], 1)
        print(f"| {r['contender']} | {r['calls']:,} | {r['wall_s']:.2f} | {r['calls_per_s']:,.0f} | "
              f"{r['share_of_ideal']:.0%} | "
              f"{r['cpu_s']:.2f} | {r['calls_per_cpu_s']:,.0f} | {r['peak_mb']:.0f} | {r['grown_mb']:.0f} |")  # fmt: skip
    print("\n" + json.dumps(results))


class _Endpoint:
    """The scripted teacher in its own process."""

    def __enter__(self) -> str:
        code = f"from glan_core.teachers.scripted.http_server import run; run(port=0, latency_ms={LATENCY_MS})"
        self._process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return self._process.stdout.readline().split()[-1]

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()


def _run(child: str, args: argparse.Namespace, url: str, folder: Path, calls: int) -> dict:
    command = [sys.executable, __file__, "--child", child, "--url", url, "--folder", str(folder), "--calls", str(calls),
               "--in-flight", str(args.in_flight)]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _run_curator(args: argparse.Namespace, url: str, folder: Path) -> dict:
    script = Path(__file__).with_name("curator_loop.py")
    command = [args.curator, str(script), url, str(folder / "chats.json"), str(args.calls), str(args.in_flight)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _child(args: argparse.Namespace) -> dict:
    """Run one contender in its own process; imports precede the measurement."""
    import aiohttp  # noqa: F401

    if args.child == "openai":
        import openai  # noqa: F401
    elif args.child == "engine":
        import glan_core.generation.run
        import glan_core.generation.work_queue
        import glan_core.runs  # noqa: F401
    if args.child == "prepare":
        return _prepare(args)
    if args.child == "engine":
        return _measured(lambda: _engine(args))
    chats = json.loads((args.folder / "chats.json").read_text())
    every = list(islice(cycle(chats), args.calls))
    asked = {"aiohttp": _aiohttp_loop, "openai": _openai_loop}[args.child]
    return _measured(lambda: asyncio.run(asked(args.url, every, args.in_flight)))


def _measured(work: Callable[[], int]) -> dict:
    """Return wall time, CPU time and memory of a function that returns its number of calls."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    calls = work()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"calls": calls, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "peak_mb": round(after.ru_maxrss / 1024, 1),
            "grown_mb": round((after.ru_maxrss - before.ru_maxrss) / 1024, 1)}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ contenders


def _order(args: argparse.Namespace, questions: int) -> dict:
    target = {
        "disciplines": [f"craft-{n}" for n in range(DISCIPLINES)],
        "subject_queries": 1,
        "questions_per_syllabus": questions,
    }
    return {"target": target, "teacher": "openai:scripted", "base_url": args.url, "max_in_flight": args.in_flight, "seed": 1}


def _prepare(args: argparse.Namespace) -> dict:
    """Create a workspace with its curriculum, and a sample of its chats for the bare loops."""
    from glan_core import runs
    from glan_core.generation import provenance
    from glan_core.records import Node
    from glan_core.taxonomy import tree_editing
    from glan_core.workspace import Workspace, call_rows

    ws = Workspace.create(args.folder / "ws")
    crafts = [Node(f"craft-{n}", f"Craft {n}", "discipline", "crafts") for n in range(DISCIPLINES)]
    tree_editing.import_nodes(ws, [Node("crafts", "Crafts", "field"), *crafts], "benchmark")
    runs.work(ws, runs.submit(ws, "generate", "curriculum", _order(args, 0)))
    _lengthen_syllabi(ws)
    sample = Workspace.create(args.folder / "sample")
    tree_editing.import_nodes(sample, [Node("crafts", "Crafts", "field"), *crafts], "benchmark")
    runs.work(sample, runs.submit(sample, "generate", "curriculum", _order(args, 0)))
    _lengthen_syllabi(sample)
    runs.work(sample, runs.submit(sample, "generate", "sample", _order(args, 4)))
    chats = []
    ids = sample.db.execute(
        "SELECT work_id FROM calls WHERE stage IN ('question', 'answer') LIMIT ?", (SAMPLE_OF_CHATS,)
    ).fetchall()
    for (id,) in ids:
        chats += [provenance.messages_of(sample, call) for call in call_rows.calls_of(sample.db, id)]
    (args.folder / "chats.json").write_text(json.dumps(chats))
    return {}


def _lengthen_syllabi(ws: "Workspace") -> None:
    """Repeat the text of each syllabus until it has SYLLABUS_TOKENS tokens of four bytes."""
    with ws.write() as db:
        for id, text in db.execute("SELECT id, text FROM syllabi").fetchall():
            db.execute(
                "UPDATE syllabi SET text = ? WHERE id = ?",
                ((text * (4 * SYLLABUS_TOKENS // len(text) + 1))[: 4 * SYLLABUS_TOKENS], id),
            )


def _engine(args: argparse.Namespace) -> int:
    from glan_core import runs
    from glan_core.workspace import Workspace, call_rows

    ws = Workspace.open(args.folder / "ws")
    syllabi = ws.db.execute("SELECT count(*) FROM syllabi").fetchone()[0]
    settings = {**_order(args, args.calls // 2 // syllabi + 1), "max_calls": args.calls}
    run = runs.work(ws, runs.submit(ws, "generate", "benchmark", settings))
    stored = call_rows.run_cost(ws.db, run.id)[0]
    assert stored == args.calls, run.message
    return stored


async def _aiohttp_loop(url: str, chats: list, in_flight: int) -> int:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(messages: list) -> None:
            body = {"model": "scripted", "messages": messages, "temperature": 1.0, "top_p": 0.95, "max_tokens": 4096}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                assert (await response.json())["choices"][0]["message"]["content"]

        return await _all(ask, chats, in_flight)


async def _openai_loop(url: str, chats: list, in_flight: int) -> int:
    import openai

    async with openai.AsyncOpenAI(api_key="none", base_url=url) as client:

        async def ask(messages: list) -> None:
            reply = await client.chat.completions.create(
                model="scripted", messages=messages, temperature=1.0, top_p=0.95, max_tokens=4096
            )
            assert reply.choices[0].message.content

        return await _all(ask, chats, in_flight)


async def _all(ask: Callable[[list], Awaitable[None]], chats: list, in_flight: int) -> int:
    """Send all chats with limited concurrency."""
    waiting = iter(chats)

    async def worker() -> None:
        for chat in waiting:
            await ask(chat)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return len(chats)


if __name__ == "__main__":
    main()
