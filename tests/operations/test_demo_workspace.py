"""The shipped demo: small, quick to open, without traces of the machine that built it, and with something true on every page."""

import re
import tarfile
from itertools import count

import pytest
from support import time_growth

from glan_core.chat import preferences
from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.snapshot_store import list_snapshots, read_snapshot
from glan_core.diversity.map_store import list_maps
from glan_core.evaluation.judge import match_statistics
from glan_core.io.packaged_models import SMOLLM2_NAME
from glan_core.models import tuned_model_store
from glan_core.operations.demo_workspace import DEMO_ARCHIVE, create_workspace
from glan_core.taxonomy import coverage
from glan_core.teachers.scripted.answers import write_answer
from glan_core.teachers.scripted.textbook import textbook
from glan_core.training.training_texts import trained_rows
from glan_core.workspace import (
    Workspace,
    benchmark_score_rows,
    chat_rows,
    homework_rows,
    match_rows,
    probe_rows,
    run_rows,
    training_rows,
)

MACHINE = re.compile(rb"/(?:work|root|home|tmp|Users)/[\w.-]+")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    ws = create_workspace(tmp_path_factory.mktemp("demo") / "demo", demo=True)
    yield ws
    ws.close()


def test_it_is_small_and_opens_in_two_seconds(tmp_path):
    assert DEMO_ARCHIVE.stat().st_size < 40e6
    copies = count()
    opening = time_growth.least_seconds(lambda _: create_workspace(tmp_path / f"demo-{next(copies)}", demo=True).close(), "", 2)
    assert opening < 2 and (tmp_path / "demo-0/glan.sqlite").is_file()


def test_it_has_no_path_of_the_machine_that_built_it():
    with tarfile.open(DEMO_ARCHIVE) as packed:
        for entry in packed:
            assert entry.uid == 0 and not entry.issym() and not entry.name.startswith("/")
            if entry.isfile():
                content = packed.extractfile(entry).read()
                assert not MACHINE.findall(content), (entry.name, MACHINE.findall(content)[:3])


def test_it_covers_the_textbook_and_is_marked(demo):
    whole = coverage.coverage_by_node(demo)[""]
    assert whole.begun == len(textbook().disciplines) == 14 and whole.counts["pairs"] > 4000
    assert demo.metadata("demo") and demo.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert whole.counts["concepts_asked"] == whole.counts["concepts"] > 600


def test_its_answers_are_those_of_the_teacher_that_ships_with_it(demo):
    pairs = [pair for pair in homework_rows.all_pairs(demo.db) if not pair.edited]
    assert all(write_answer(pair.question.text) == pair.answer for pair in pairs[:: len(pairs) // 60])


def test_checks_have_findings_and_reviews_have_history(demo):
    tags = {kind: number for kind, number in demo.db.execute("SELECT kind, count(*) FROM tags GROUP BY kind")}
    assert set(tags) == {"quality", "duplicate", "contaminated"} and all(tags.values())
    assert demo.db.execute("SELECT count(*) FROM questions WHERE review IS NOT NULL").fetchone()[0] >= 40
    assert list_maps(demo)[0].embedder.endswith("all-MiniLM-L6-v2") and len(list_maps(demo)[0].clusters) >= 14


def test_the_tuned_model_is_a_real_adapter_with_its_curve_and_beats_its_base(demo):
    model = tuned_model_store.read_model(demo, "smollm2-demo")
    assert (model.form, model.base, model.rows) == ("adapter", SMOLLM2_NAME, 400) and model.losses["validation"] < model.losses[
        "base"
    ]
    assert tuned_model_store.hash_weights(model.weights(demo)) == model.weights_hash and model.bytes < 15e6 and model.base_hash
    assert training_rows.last_step(demo.db, model.run_id).step == model.steps
    assert trained_rows(demo, model).number == 400 and set(model.disciplines) == {"agriculture", "law", "music"}
    assert read_snapshot(demo, model.snapshot).manifest.hash == model.snapshot_hash
    match = next(m for m in match_rows.matches(demo.db) if m.other == "base:smollm2-demo")
    found = match_statistics.outcome(match_statistics.item_frame(demo, match))
    assert found.judged >= 60 and found.low > 0, "the interval of the difference includes 0"
    assert match.about["given_away"]["answer_ours"]["number"] == 0, "rows of the test leaked into the training"


def test_every_part_of_the_journey_is_there(demo):
    states = {run.state for run in run_rows.runs(demo.db, 200)}
    assert states == {"finished", "paused", "failed"}, "one run stopped at its budget, one failed"
    assert (
        len(list_snapshots(demo)) == 2
        and list_tests(demo)
        and probe_rows.probes(demo.db)
        and benchmark_score_rows.scores(demo.db, parts=False)
    )
    assert chat_rows.count_conversations(demo.db) >= 4 and sum(chat_rows.count_preferences(demo.db).values()) >= 4
    assert list(preferences.preference_rows(demo))
    assert isinstance(demo, Workspace)
