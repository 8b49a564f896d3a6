"""Every command that reports prints its result as JSON with --json, and nothing else on standard output."""

import argparse
import json

import pytest
from support.chat_models import make_base, make_full, make_tuned

from glan_core.cli import build_parser, main

SERVERS = {("studio",), ("serve-teacher",), ("serve-models",), ("work",)}  # they run until they are stopped
# Words after DIR, in an order in which each finds what it needs; {…} are paths.
COMMANDS = [
    ("doctor",), ("plan", "--disciplines", "music"),
    ("generate", "--disciplines", "music,mathematics", "--subject-queries", "1", "--questions-per-syllabus", "20"),
    ("preview", "--discipline", "cave-mapping"), ("preview", "--discipline", "cave-mapping", "--accept"),
    ("generate", "--disciplines", "earth-science", "--teacher", "openai:m", "--batch-files"), ("batch", "next"),
    ("status",), ("runs",), ("runs", "show", "1"), ("show", "music"), ("dedup",), ("dedup", "--show"), ("filter",), ("filter", "--list"),
    ("filter", "--preview"), ("decontaminate", "{other}"), ("decontaminate", "--show"), ("embed", "--embedder", "words"),
    ("map", "--embedder", "words"), ("measure", "--embedder", "words"), ("measure", "--embedder", "words", "--show"),
    ("compare", "{rows}", "--embedder", "words"), ("judge", "--plan"), ("judge",),
    ("evaluate glan-test", "create", "held", "--questions", "2"), ("evaluate glan-test",), ("evaluate glan-test", "show", "held"),
    ("snapshot", "create", "first", "--plan"), ("snapshot", "create", "first", "--split", "none"), ("snapshot",),
    ("snapshot", "show", "first"), ("snapshot", "verify", "first"), ("export", "--out", "{out}/rows.jsonl"),
    ("finetune", "--snapshot", "first", "--name", "new", "--plan"),
    ("bundle", "--snapshot", "first", "--name", "far", "--vocabulary", "600", "--hidden", "32", "--inner", "64", "--layers", "1", "--heads", "2",
     "--max-length", "256", "--epochs", "1", "--evaluations", "1", "--out", "{out}/bundle"),
    ("train-bundle", "{out}/bundle", "--precision", "fp32"), ("models", "import", "{out}/bundle"),
    ("models",), ("models", "show", "whole"), ("models", "serve", "whole"),
    ("models", "note", "whole", "a note"), ("models", "merge", "tuned", "merged"), ("models", "export", "whole", "--out", "{out}/model"),
    ("evaluate judge", "--test", "held", "--ours", "scripted"), ("evaluate judge",), ("evaluate bench", "--list"),
    ("evaluate probe", "--models", "base:whole", "--train", "{rows}", "--test", "{other}", "--sample", "4"),
    ("evaluate probe", "--show"), ("evaluate lookalikes", "--test", "{rows}", "--number", "2"),
    ("evaluate scaling", "--name", "s", "--snapshot", "first", "--shares", "50", "--plan"),
    ("report", "--out", "{out}/report.html", "--card", "{out}/card.md"), ("chat", "--model", "base:whole", "--prompt", "Why?", "--max-tokens", "4"),
    ("connections", "add", "mine", "--model", "m", "--base-url", "http://127.0.0.1:9/v1"), ("connections", "list"),
    ("connections", "test", "mine"), ("connections default", "all", "scripted"), ("connections", "remove", "mine"),
    ("taxonomy", "show"), ("taxonomy", "export", "{out}/tree.yaml"), ("taxonomy", "import", "{out}/tree.yaml", "--dry-run"),
    ("taxonomy", "add", "Arts / Dance"), ("taxonomy", "rename", "dance", "Ballet"), ("taxonomy", "move", "dance", "crafts"),
    ("taxonomy", "remove", "dance"), ("taxonomy", "restore", "dance"), ("taxonomy", "history"), ("taxonomy", "propose", "--under", "arts"),
    ("taxonomy", "proposals"), ("taxonomy", "vote", "music", "keep"), ("taxonomy", "decide"), ("init", "{out}/new"),
    ("workspace", "create", "one"), ("workspace", "create", "demo", "--demo"), ("workspace", "list"), ("workspace", "rename", "one", "two"),
    ("workspace", "duplicate", "two", "three"), ("workspace", "compare", "two", "three"), ("workspace", "archive", "three"),
    ("workspace", "restore", "three"), ("workspace", "reset-demo"), ("notify", "set", "http://127.0.0.1:9/hook"), ("notify", "show"),
    ("notify", "off"), ("backup", "{out}/kept.tar.zst"), ("restore", "{out}/kept.tar.zst", "{out}/again"), ("models", "remove", "whole"),
    ("removed", "list"),
]  # fmt: skip


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], argparse.ArgumentParser]:
    """Return the commands without further commands, by their words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {k: v for name, below in action.choices.items() for k, v in leaves(below, (*words, name)).items()}
    return {words: parser}


def names(words: tuple[str, ...]) -> tuple[str, ...]:
    first, second = words[0].split(), words[1:2]
    return (*first, *second) if first in (["taxonomy"], ["connections"], ["workspace"], ["notify"]) else tuple(first)


def test_every_command_has_json_and_is_tried_here():
    known = leaves(build_parser())
    assert {words for words, parser in known.items() if "--json" not in parser._option_string_actions} == SERVERS
    tried = {names(words) for words in COMMANDS} | {
        ("taxonomy", "undo"),
        ("preferences",),
        ("notify", "test"),
    }  # these need a change, votes or a server
    assert set(known) - SERVERS == tried


@pytest.mark.slow
def test_every_command_prints_its_result(ws, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    rows = [{"question": f"How is chord {n} built from a scale?", "answer": f"By {n} thirds above its root."} for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "other.jsonl").write_text(
        "".join(json.dumps({**row, "question": row["question"].upper()}) + "\n" for row in rows)
    )
    make_full(ws)
    make_tuned(ws, make_base(tmp_path / "base"))
    ws.close()
    paths = {"rows": tmp_path / "rows.jsonl", "other": tmp_path / "other.jsonl", "out": out}
    for words in COMMANDS:
        first, rest = words[0].split(), [word.format(**paths) for word in words[1:]]
        folder = (
            []
            if first[0] in ("doctor", "init", "notify", "restore", "train-bundle") or first == ["connections"]
            else [str(ws.folder)]
        )
        folder = [str(out)] if first == ["workspace"] else folder
        capsys.readouterr()
        code = main([*first, *folder, *rest, "--json"])
        said = capsys.readouterr()
        assert code == 0 or first[0] == "doctor" or rest[:1] == ["test"], (words, said)
        data = json.loads(said.out)
        assert data or data == 0, words
        if isinstance(data, dict) and "state" in data and data.get("kind") in (
            "dedup", "filter", "decontaminate", "embed", "map", "measure", "compare", "snapshot", "glan-test", "merge", "model-export", "probe",
            "bundle",
        ):  # fmt: skip
            assert data["result"], words
