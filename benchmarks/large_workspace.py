"""Create a large workspace for benchmarks: `python benchmarks/large_workspace.py FOLDER`.

126 disciplines, about 20,000 subjects, 5,000 syllabi of 12 sessions with 5 concepts, 1,000,000 pairs (see --pairs). Rows are written by the same
functions as a run's, in large transactions; texts have realistic lengths. With `--copied-to N`, the pairs (of an existing workspace, if there is one)
are then copied with other words until there are N, which takes a fifth of the time per pair.
"""

import argparse
import random
import time
from pathlib import Path

from glan_core import ids
from glan_core.homework import review
from glan_core.homework.concept_sampling import draws
from glan_core.operations import demo_workspace
from glan_core.records import SessionDraft, Subject
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, consistency, curriculum_rows, homework_rows, taxonomy_rows
from glan_core.workspace.homework_rows import Question
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.taxonomy_rows import DisciplineTarget
from glan_core.workspace.workspace import FILE

SUBJECTS = 160  # per discipline
SYLLABI = 5000
WORDS = (
    "system", "measure", "theory", "method", "change", "structure", "value", "model", "process", "evidence", "practice",
    "energy", "history", "design",
)  # fmt: skip
TEACHER = "openai:benchmark"
LEVELS = ("introductory", "intermediate", "advanced")
REVIEWED = 5000  # rejected pairs, so that filters find few among many


def fill(ws, pairs: int) -> None:
    """Add subjects to every discipline, syllabi to some, and pairs spread evenly over the syllabi."""
    rng = random.Random(7)
    disciplines = hierarchy.disciplines_under(tree_editing.tree(ws))
    syllabi = []
    with ws.write() as db:
        for number, discipline in enumerate(disciplines):
            taxonomy_rows.put_target(db, discipline, DisciplineTarget(10, SUBJECTS, 2 * pairs // SYLLABI))
            subjects = [
                Subject(
                    ids.derive("sub", discipline, str(n)),
                    discipline,
                    f"Subject {n} of {discipline}",
                    LEVELS[n % len(LEVELS)],
                    tuple(WORDS[:6]),
                )
                for n in range(SUBJECTS)
            ]
            curriculum_rows.add_subjects(db, discipline, [(subject, TEACHER) for subject in subjects], [], [])
            share = SYLLABI // len(disciplines) + (number < SYLLABI % len(disciplines))
            for subject in subjects[:share]:
                id = ids.syllabus_id(subject.id)
                curriculum_rows.add_syllabus(db, id, subject.id, discipline, text(rng, 600), TEACHER)
                drafts = [
                    SessionDraft(f"Session {s}", text(rng, 20), tuple(f"concept {s}.{c}" for c in range(5))) for s in range(12)
                ]
                curriculum_rows.add_sessions(db, id, discipline, drafts)
                syllabi.append((id, discipline))
    rng.shuffle(syllabi)
    for start in range(0, len(syllabi), 25):
        with ws.write() as db:
            for id, discipline in syllabi[start : start + 25]:
                ask(db, rng, id, discipline, pairs // len(syllabi))
    rejected = PairFilter(disciplines=tuple(disciplines[:1]))
    for pair in homework_rows.pairs_page(ws.db, rejected, limit=min(REVIEWED, pairs)):
        review.review(ws, pair.question.id, "reject", "benchmark", reason="too easy")
    with ws.write() as db:
        homework_rows.index_text(db, 20_000)  # enough for searches to find something; a million rows take minutes


def ask(db, rng: random.Random, syllabus_id: str, discipline: str, number: int) -> None:
    """Add questions and answers of one syllabus."""
    sessions = curriculum_rows.sessions(db, syllabus_id)
    for draw, _ in zip(draws([5] * 12, seed=0, name=syllabus_id, law="uniform"), range(number), strict=False):
        concepts = tuple(sessions[s].concepts[c][0] for s, c in draw.concepts)
        question = Question(
            0, ids.derive("qst", syllabus_id, draw.key), syllabus_id, discipline, draw.strategy, "uniform", 0, draw.index,
            tuple(sessions[s].id for s in draw.sessions), concepts, text(rng, 60), TEACHER,
        )  # fmt: skip
        homework_rows.add_question(db, question)
        homework_rows.add_answer(db, question.id, discipline, text(rng, 150), TEACHER)


def copy_pairs(ws, wanted: int) -> None:
    """Copy pairs with some words replaced until there are `wanted`; their counters are corrected as by a repair."""
    base = ws.db.execute("SELECT max(seq) FROM questions").fetchone()[0]
    ws.db.pragma("cache_size", -4_000_000)
    ws.db.create_scalar_function("answer_id", homework_rows.answer_id, 1, deterministic=True)
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'questions' AND sql IS NOT NULL"
    built = ws.db.execute(indexes).fetchall()
    for name, _ in built:
        ws.db.execute(f"DROP INDEX {name}")
    for copy in range(1, -(-wanted // base)):
        copy_once(ws, base, copy, min(base, wanted - copy * base))
        print(f"{copy} copied", flush=True)
    for _, sql in built:
        ws.db.execute(sql)
    with ws.write() as db:
        consistency.set_counters(db, {key: right for key, (_, right) in consistency.wrong_counters(db).items()})
        db.execute("UPDATE syllabi SET questions = (SELECT count(*) FROM questions WHERE syllabus_id = syllabi.id)")


def copy_once(ws, base: int, copy: int, number: int) -> None:
    """Copy the first pairs once; a fourth of the words of a copy are others."""
    columns = "syllabus_id, discipline_id, strategy, draw_law, seed, sessions, concepts, teacher, answered, level, answer_length, answer_teacher"
    mark, words = chr(ord("g") + copy), "text"
    for word in WORDS[copy % 3 :: 4]:
        words = f"replace({words}, '{word}', '{word[copy:] + word[:copy]}')"
    renamed = f"'qst-{mark}' || substr({{}}, 5)"
    for first in range(1, number + 1, 200_000):
        which = f"BETWEEN {first} AND {min(first + 199_999, number)}"
        with ws.write() as db:
            db.execute(
                f"""INSERT INTO questions (seq, id, draw, text, {columns}) SELECT seq + {copy * base}, {renamed.format("id")},
                    draw + {copy * base}, {words}, {columns} FROM questions WHERE seq {which}"""
            )
            db.execute(
                f"""INSERT INTO answers (id, question_id, text, teacher) SELECT answer_id({renamed.format("q.id")}), {renamed.format("q.id")},
                    {words.replace("text", "a.text")}, a.teacher FROM questions q JOIN answers a ON a.question_id = q.id WHERE q.seq {which}"""
            )
    with ws.write() as db:
        db.execute(
            f"""INSERT INTO question_concepts SELECT concept_id, {renamed.format("question_id")} FROM question_concepts
                WHERE question_id < 'qst-g' AND question_id IN (SELECT id FROM questions WHERE seq <= {number})"""
        )


def text(rng: random.Random, words: int) -> str:
    """Return random words that resemble text."""
    return " ".join(rng.choices(WORDS, k=words))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--copied-to", type=int, metavar="N", help="then copy pairs until there are N")
    options = parser.parse_args()
    began = time.perf_counter()
    if (Path(options.folder) / FILE).exists():
        opened = Workspace.open(options.folder)
    else:
        opened = demo_workspace.create_workspace(options.folder)
        fill(opened, options.pairs)
    if options.copied_to:
        copy_pairs(opened, options.copied_to)
    print(f"{options.folder}: {max(options.pairs, options.copied_to or 0):,} pairs in {time.perf_counter() - began:.0f} s")
