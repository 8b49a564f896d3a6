"""The demo workspace with hostile texts in place of every name, question, answer and message."""

import json
from pathlib import Path

from glan_core.models import tuned_model_store
from glan_core.operations import demo_workspace
from glan_core.workspace import Workspace

CORPUS = Path(__file__).parents[1] / "data/hostile_texts.json"
NAME_LENGTH = 190  # characters
# Columns that hold one line: a name, title or label.
NAMES = {
    "nodes": ("name",), "subjects": ("name", "level"), "sessions": ("name",), "concepts": ("name",), "runs": ("title",), "conversations": ("name",),
    "proposals": ("name", "reason"), "questions": ("level",), "node_events": ("who",), "record_events": ("who",),
}  # fmt: skip
TEXTS = {
    "nodes": ("description",), "syllabi": ("text",), "sessions": ("description",), "questions": ("text", "reason"), "answers": ("text",),
    "runs": ("message",), "proposals": ("description",), "chat_turns": ("system", "prompt", "reference"), "chat_replies": ("text", "message"),
    "test_answers": ("text",), "verdicts": ("comment",), "training_replies": ("prompt", "reply"), "calls": ("reply", "reasoning"),
}  # fmt: skip


def hostile_texts() -> list[str]:
    """Return the texts of the corpus."""
    return [entry["text"] for entry in json.loads(CORPUS.read_text("utf-8"))]


def hostile_names() -> list[str]:
    """Return the texts as names: one line, not too long, all different."""
    return [f"{' '.join(text.splitlines())[:NAME_LENGTH]} {number}" for number, text in enumerate(hostile_texts())]


def hostile_demo(folder: Path) -> Workspace:
    """Create the workspace. Its texts are written as an earlier release or another program may have stored them."""
    ws = demo_workspace.create_workspace(folder, demo=True)
    texts, names = [text.replace("\0", "") for text in hostile_texts()], [name.replace("\0", "") for name in hostile_names()]
    with ws.write() as db:
        for values, tables in ((names, NAMES), (texts, TEXTS)):
            for table, columns in tables.items():
                for nth, column in enumerate(columns):
                    rows = db.execute(
                        f"SELECT rowid FROM {table}" if table not in KEYS else f"SELECT {KEYS[table]} FROM {table}"
                    ).fetchall()
                    key = " AND ".join(f"{name.strip()} = ?" for name in KEYS.get(table, "rowid").split(","))
                    db.executemany(
                        f"UPDATE {table} SET {column} = ? WHERE {key}",
                        [(values[(n + 7 * nth) % len(values)], *row) for n, row in enumerate(rows)],
                    )
        db.execute("UPDATE runs SET tags = ?, notices = ?", (json.dumps(names[50:54]), json.dumps(texts[:3])))
        db.execute("UPDATE subjects SET subtopics = ?", (json.dumps(names[:8]),))
    for model in tuned_model_store.list_models(ws):
        tuned_model_store.set_notes(ws, model.name, texts[0] + texts[17] + texts[43])
    return ws


# Tables without a rowid, with their keys.
KEYS = {
    "nodes": "id", "subjects": "id", "sessions": "id", "concepts": "id", "syllabi": "id", "chat_replies": "turn_id, version, pane",
    "test_answers": "test, item, answerer", "verdicts": "match, item, swapped", "training_replies": "run_id, step, nth",
}  # fmt: skip
