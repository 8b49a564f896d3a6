"""A workspace of the previous release, with runs of every kind, opens, shows its history and continues.

`tests/data/workspace_of_the_previous_release.zip` was made by commit 5e2d4b5: its settings and facts have the names of that release.
"""

import zipfile
from pathlib import Path

import pytest
from support.studio_app import Studio

from glan_core import runs
from glan_core.chat import conversations
from glan_core.cli import build_parser, main
from glan_core.models import tuned_model_store
from glan_core.runs import launcher, registry
from glan_core.runs.settings_summary import settings_summary
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace, chat_rows, homework_rows, run_rows

ARCHIVE = Path(__file__).parents[1] / "data" / "workspace_of_the_previous_release.zip"
pytest_plugins = ["support.studio_fixtures"]


@pytest.fixture
def old(home) -> Workspace:
    """The workspace, unpacked below the studio's folder of workspaces."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(home)
    (home / "ws").rename(home / "previous")
    return Workspace.open(home / "previous")


def test_it_holds_runs_of_every_kind(old):
    assert {run.kind for run in run_rows.runs(old.db)} == set(registry.RUN_KINDS) - {
        "training-speed",
        "bundle",
        "duplicate",
        "backup",
    }  # newer than that release


def test_settings_of_every_run_are_read_and_shown(old):
    for run in run_rows.runs(old.db):
        settings = registry.settings_of(run.kind, run.params)
        assert settings.model_dump()["kind"] == run.kind and settings_summary(run)
    [tuning, *_] = [run for run in run_rows.runs(old.db) if run.kind == "finetune" and run.params["name"] == "tiny"]
    read = registry.settings_of("finetune", tuning.params)
    assert isinstance(read, FinetuneSettings)
    assert (read.global_batch_size, read.per_device_batch_size, read.warmup_ratio, read.gradient_checkpointing) == (
        4,
        4,
        0.1,
        False,
    )
    [judged] = [run for run in run_rows.runs(old.db) if run.kind == "judge"]
    assert registry.settings_of("judge", judged.params).model_dump()["min_difficulty"] == 2
    shown = {run.kind: settings_summary(run) for run in run_rows.runs(old.db)}
    assert shown["filter"]["Min question length"] == "3" and shown["export"]["License"] == "cc-by-4.0"
    assert shown["compare"]["Max rows"] == "20" and shown["dedup"]["Cosine threshold"] == "0.95"


def test_models_are_listed_with_settings_of_current_names(old):
    model = tuned_model_store.read_model(old, "tiny")
    assert model.settings["global_batch_size"] == 4 and "batch" not in model.settings
    assert {model.name for model in tuned_model_store.list_models(old)} >= {"tiny", "adapter", "merged"}


def test_a_conversation_keeps_its_decoding_parameters(old):
    [conversation] = chat_rows.conversations(old.db)
    settings = conversations.settings_of(conversation)
    values = settings.model_dump()
    decoding = values.get("decoding") or values["drawing"]
    assert settings.specs == ("scripted",) and settings.system == "Be brief."
    kept = {"temperature": 0.2, "top_p": 0.9, "max_tokens": 64, "seed": 7}
    assert kept.items() <= decoding.items()
    added = {"top_k": 0, "repetition_penalty": 1.0}  # later parameters have the values that change nothing
    assert all(decoding.get(name, value) == value for name, value in added.items())


def test_a_paused_run_continues_to_its_target(old):
    [paused] = [run for run in run_rows.runs(old.db) if run.state == "paused" and run.kind == "generate"]
    before = homework_rows.last_seq(old.db)
    launcher.requeue(old, paused.id, params=paused.params | {"max_calls": None})
    done = runs.work(old, paused.id)
    assert done.state == "finished", done.message
    per_syllabus = old.db.execute(
        "SELECT count(*) FROM questions q JOIN syllabi s ON s.id = q.syllabus_id WHERE s.discipline_id = 'mathematics' GROUP BY s.id"
    ).fetchall()
    assert homework_rows.last_seq(old.db) > before and {count for (count,) in per_syllabus} == {30}


@pytest.mark.training
@pytest.mark.slow
def test_a_paused_fine_tuning_run_continues(old):
    [paused] = [run for run in run_rows.runs(old.db) if run.state == "paused" and run.kind == "finetune"]
    launcher.requeue(old, paused.id)
    assert runs.work(old, paused.id).state == "finished"
    assert tuned_model_store.read_model(old, "later").rows == 71


@pytest.mark.pages
@pytest.mark.parametrize("page", ["overview", "runs", "dataset", "diversity", "train", "models", "evaluate", "homework"])
def test_every_page_shows_it(old, page):
    assert Studio(page, workspace="previous").fine


COMMANDS = [
    "plan {d} --disciplines music --draw-law uniform --subject-queries 1",
    "judge {d} --plan --least-difficulty 2 --least-self-contained 4",
    "filter {d} --shortest-question 3 --shortest-answer 2 --preview",
    "finetune {d} --snapshot first --name x --batch 4 --rows-at-once 4 --warmup-share 0.1 --no-checkpointing --plan",
    "snapshot {d} take second --split combination --validation 0.2",
    "evaluate glan-test {d} freeze other --questions 1 --most-share 0.5 --from-snapshot first",
    "runs {d}",
    "status {d}",
]


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_command_lines_of_the_previous_release_work(old, command, capsys):
    assert main(command.format(d=old.folder).split()) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        ("dedup d --meaning --meaning-threshold 0.9", "semantic_threshold", 0.9),
        ("compare d other --most 20", "max_rows", 20),
        ("export d --out x --licence mit", "license", "mit"),
        ("models d export m --out x --licence mit", "license", "mit"),
        ("generate d --disciplines all --draw-law uniform", "draw_distribution", "uniform"),
    ],
)
def test_flags_of_the_previous_release_set_the_renamed_setting(command, setting, value):
    assert getattr(build_parser().parse_args(command.split()), setting) == value
