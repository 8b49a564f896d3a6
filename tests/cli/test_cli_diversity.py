"""`glan embed`, `map`, `measure` and `compare`: words for people, JSON for programs, exit codes."""

import json
import random

from support.diversity_rows import add_topics, question

from glan_core.cli import main
from glan_core.workspace import run_rows


def test_from_embeddings_to_a_comparison(ws, tmp_path, capsys):
    add_topics(ws, 12)
    folder, words = str(ws.folder), ("--embedder", "words")
    assert main(["embed", folder, *words]) == 0
    assert capsys.readouterr().out.startswith("Embedded 36 questions. Based on words only")
    assert main(["map", folder, "--dims", "3", *words]) == 0
    assert capsys.readouterr().out.startswith("Mapped 36 questions in 3-D")
    assert main(["measure", folder, *words]) == 0
    out = capsys.readouterr().out
    assert "Vendi of 1,000" in out and "earth-science" in out and "Measured 36 questions in 3 disciplines." in out
    assert main(["measure", folder, "--show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scopes"][""]["mean_distance"]["n"] == 36

    other = tmp_path / "other.jsonl"
    rng = random.Random(2)
    other.write_text("\n".join(json.dumps({"prompt": question("music", rng), "response": "So."}) for _ in range(20)))
    assert main(["compare", folder, str(other), *words]) == 0
    out = capsys.readouterr().out
    assert "Compared 36 questions with 20 of other" in out and "Without a question in similar words in the other set" in out
    assert main(["compare", folder, str(other), "--show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["disciplines"] == {"music": 20}


def test_what_is_wrong_is_said_in_one_line(ws, capsys):
    folder = str(ws.folder)
    assert main(["measure", folder, "--show"]) == 2 and "No metrics yet" in capsys.readouterr().err
    assert main(["map", folder, "--embedder", "bert"]) == 2 and "Unknown embedder" in capsys.readouterr().err
    assert main(["map", folder, "--embedder", "words", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["message"].startswith("The workspace has no questions")
    assert main(["compare", folder, "x.jsonl", "--show"]) == 2 and "no comparison 'x'" in capsys.readouterr().err
    assert main(["compare", folder, "x.jsonl", "--embedder", "words"]) == 2 and "does not exist" in capsys.readouterr().err
    assert run_rows.runs(ws.db, 9)[0].kind == "map"  # of what cannot begin no run is kept
