"""Bundles: written from a workspace, trained without it, and imported with their curves; what was changed or does not belong is refused."""

import json
import os
import shutil
import socket

import pytest
from support.training_fixtures import TINY, tuned

from glan_core import runs
from glan_core.cli import main
from glan_core.models import tuned_model_store
from glan_core.runs.heartbeat import Progress
from glan_core.runs.states import PAUSED
from glan_core.training.bundle import bundle_id
from glan_core.training.bundle_files import hash_file
from glan_core.workspace import Workspace, run_rows, training_rows

pytest_plugins = ["support.training_fixtures"]
SCRATCH = [word for name in type(TINY).model_fields for word in (f"--{name}", str(getattr(TINY, name)))]
FAST = [
    "--epochs", "1", "--global-batch-size", "4", "--per-device-batch-size", "4", "--max-length", "384", "--learning-rate", "3e-3",
    "--evaluations", "2", "--keep-checkpoints", "1", "--prompt", "What is a triad?", "--precision", "fp32",
]  # fmt: skip
SAME = {  # what the command below sets, beside `tiny_order`
    "epochs": 1,
    "recipe": "demo",
    "evaluations": 2,
    "keep_checkpoints": 1,
    "adam_beta2": 0.95,
    "warmup_ratio": 0.05,
    "patience": 3,
    "keep_best": True,
}


def written(folder, out, *words: str, name: str = "far") -> None:
    argv = ["bundle", str(folder), "--snapshot", "first", "--name", name, *SCRATCH, *FAST, "--out", str(out), *words]
    assert main(argv) == 0


def said(capsys, *argv) -> str:
    assert main([str(part) for part in argv]) == 0
    return capsys.readouterr().out


def refused(capsys, *argv) -> str:
    """The one line that a refused command leaves on stderr."""
    capsys.readouterr()
    assert main([str(part) for part in argv]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("glan: ") and told.err.count("\n") == 1, told
    return told.err


@pytest.fixture(scope="module")
def exported(taught_folder, tmp_path_factory):
    """A bundle of a model initialized from scratch."""
    out = tmp_path_factory.mktemp("exported") / "far-bundle"
    written(taught_folder, out)
    return out


@pytest.fixture(scope="module")
def trained(exported, tmp_path_factory):
    """The same bundle in another place, trained."""
    folder = tmp_path_factory.mktemp("gpu-host") / "far-bundle"
    shutil.copytree(exported, folder)
    assert main(["train-bundle", str(folder)]) == 0
    return folder


@pytest.fixture
def returned(trained, tmp_path):
    """A copy of the trained bundle, to change."""
    return shutil.copytree(trained, tmp_path / "returned")


def learned(row) -> tuple:
    """What is the same in two runs with the same settings: times and memory are not."""
    return tuple(
        getattr(row, name, None) for name in ("step", "epoch", "tokens", "loss", "validation_loss", "lr", "nth", "reply")
    )


def sign(folder, path: str) -> None:
    """Write the present hash of a file into the manifest of the result, as an attacker would."""
    manifest = folder / "result" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["files"][path] = hash_file(folder / "result" / path)
    manifest.write_text(json.dumps(values))


def test_a_bundle_has_rows_settings_versions_hashes_and_the_command(exported, taught):
    manifest = json.loads((exported / "bundle.json").read_text())
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert files - {"bundle.json"} == set(manifest["files"]) == {
        "README.md", "settings.json", "snapshot/manifest.json", "snapshot/train.parquet", "snapshot/validation.parquet",
    }  # fmt: skip
    assert all(hash_file(exported / path) == digest for path, digest in manifest["files"].items())
    assert manifest["snapshot_hash"] == json.loads((taught.folder / "snapshots/first/manifest.json").read_text())["hash"]
    assert manifest["packages"]["torch"] and manifest["base"] is None and manifest["id"] == bundle_id(manifest)
    assert json.loads((exported / "settings.json").read_text())["scratch"] == TINY.model_dump()
    assert "glan train-bundle far-bundle" in (exported / "README.md").read_text()
    assert str(taught.folder) not in "".join(path.read_text() for path in exported.glob("*.*"))


@pytest.mark.long
def test_it_trains_to_the_same_weights_as_in_the_workspace_and_comes_back(trained, taught, capsys):
    at_home = tuned(taught, "home", **SAME)
    assert not (trained / "work").exists()
    before = run_rows.runs(taught.db, 1)[0].id
    out = said(capsys, "models", taught.folder, "import", trained)
    assert "lineage" not in out and "not written" not in out
    model = tuned_model_store.read_model(taught, "far")
    run = runs.get(taught, model.run_id)
    assert (
        model.weights_hash == at_home.weights_hash
        and model.losses == at_home.losses
        and model.disciplines == at_home.disciplines
    )
    assert run.id == before + 1 and run.kind == "finetune" and runs.state_of(run) == "finished"
    assert run.host == socket.gethostname() and "Trained on" in run.message and "Trained on" in model.notes
    for rows in (training_rows.steps, training_rows.replies):
        mine, theirs = rows(taught.db, run.id), rows(taught.db, at_home.run_id)
        assert mine and [learned(row) for row in mine] == [learned(row) for row in theirs]
    assert (model.folder(taught) / "base" / "model.safetensors").is_file()
    [kept] = model.checkpoints
    stored = tuned_model_store.checkpoint_folder(taught, "far", kept.step)
    assert kept.weights_hash == at_home.checkpoints[0].weights_hash == tuned_model_store.hash_weights(stored)
    assert "already exists" in refused(capsys, "models", taught.folder, "import", trained)
    assert "Imported far-2" in said(capsys, "models", taught.folder, "import", trained, "--name", "far-2")
    assert "The result is in" in said(capsys, "train-bundle", trained), "trained a second time"


@pytest.mark.long
def test_training_resumes_after_an_interruption(exported, trained, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(exported, tmp_path / "again")
    report, stopped = Progress.report, []

    def pausing(progress, stage, done, planned) -> None:
        report(progress, stage, done, planned)
        if stage == "steps" and done == 2 and not stopped:
            stopped.append(progress.stop(PAUSED))

    monkeypatch.setattr(Progress, "report", pausing)
    assert main(["train-bundle", str(folder)]) == 1
    assert "resumes from the last checkpoint" in capsys.readouterr().out and not (folder / "result").exists()
    assert list((folder / "work").glob("training/*/checkpoint-2"))
    moved = folder.rename(tmp_path / "moved")
    said(capsys, "train-bundle", moved)
    weights = [tuned_model_store.hash_weights(place / "result" / "weights") for place in (moved, trained)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("name", ["settings.json", "snapshot/train.parquet", "snapshot/manifest.json", "bundle.json"])
def test_a_changed_file_is_named_before_training(exported, tmp_path, capsys, name):
    folder = shutil.copytree(exported, tmp_path / "changed")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"first", b"fjrst") if b"first" in content else content[:-1] + b"?")
    assert f"{folder / name} was changed" in refused(capsys, "train-bundle", folder)
    assert not (folder / "work").exists()


def test_a_missing_file_a_plain_folder_and_a_taken_place_are_refused(exported, taught, tmp_path, capsys):
    folder = shutil.copytree(exported, tmp_path / "missing")
    (folder / "snapshot" / "train.parquet").unlink()
    assert "train.parquet is missing" in refused(capsys, "train-bundle", folder)
    assert "no bundle.json" in refused(capsys, "train-bundle", tmp_path)
    assert "is not a folder" in refused(capsys, "train-bundle", tmp_path / "none")
    words = ["bundle", taught.folder, "--snapshot", "first", "--name", "other", *SCRATCH, *FAST, "--out"]
    assert "already exists" in refused(capsys, *words, exported)
    assert "inside a workspace" in refused(capsys, *words, taught.folder / "snapshots" / "out")
    assert "from scratch" in refused(capsys, *words, tmp_path / "x", "--with-base") and not (tmp_path / "x").exists()
    assert "has no result" in refused(capsys, "models", taught.folder, "import", exported, "--name", "none")


@pytest.mark.long
def test_an_adapter_is_trained_on_the_base_of_the_bundle_and_refers_to_the_one_at_home(taught, base, tmp_path, capsys):
    words = ["--recipe", "lora", "--base", str(base), "--lora-rank", "2"]
    written(taught.folder, tmp_path / "alone", *words, name="small")
    written(taught.folder, tmp_path / "whole", *words, "--with-base", name="small")
    assert not (tmp_path / "alone" / "base").exists() and (tmp_path / "whole" / "base" / "model.safetensors").is_file()
    hidden = base.rename(base.parent / "hidden")
    try:
        assert "is not on this machine" in refused(capsys, "train-bundle", tmp_path / "alone")
        other = shutil.copytree(hidden, tmp_path / "other")
        weights = (other / "model.safetensors").read_bytes()
        (other / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
        assert "are not those of" in refused(capsys, "train-bundle", tmp_path / "alone", "--base", other)
        said(capsys, "train-bundle", tmp_path / "whole")
    finally:
        hidden.rename(base)
    said(capsys, "models", taught.folder, "import", tmp_path / "whole")
    model = tuned_model_store.read_model(taught, "small")
    config = json.loads((model.weights(taught) / "adapter_config.json").read_text())
    assert model.form == "adapter" and model.base == str(base) == config["base_model_name_or_path"]
    assert model.base_hash == tuned_model_store.hash_weights(base) and model.settings["base"] == str(base)


@pytest.mark.parametrize("inside", [None, "glan.sqlite", "training"])
def test_links_to_a_workspace_elsewhere_are_refused(exported, taught, tmp_path, capsys, inside):
    folder = shutil.copytree(exported, tmp_path / "received")
    before = [run.id for run in run_rows.runs(taught.db, 100)]
    place = folder / "work"
    if inside:
        place.mkdir()
        (place / inside).symlink_to(taught.folder / inside)
    else:
        place.symlink_to(taught.folder)
    assert "is a link, which is not followed" in refused(capsys, "train-bundle", folder)
    assert [run.id for run in run_rows.runs(taught.db, 100)] == before


def test_unknown_lineage_is_stated(trained, tmp_path, capsys):
    stranger = Workspace.create(tmp_path / "stranger")
    out = said(capsys, "models", stranger.folder, "import", trained, "--name", "guest")
    assert "lineage is unknown" in out and "lineage is unknown" in tuned_model_store.read_model(stranger, "guest").notes


def hostile_pickle(folder) -> None:
    (folder / "result" / "weights" / "extra.bin").write_bytes(b"\x80\x04.")
    sign(folder, "weights/extra.bin")


def hostile_link(folder) -> None:
    (folder / "result" / "weights" / "model.safetensors").unlink()
    (folder / "result" / "weights" / "model.safetensors").symlink_to("/etc/hostname")


def hostile_folder_link(folder) -> None:
    (folder / "result").rename(folder / "real")
    (folder / "result").symlink_to(folder / "real")


def hostile_pipe(folder) -> None:
    os.mkfifo(folder / "result" / "weights" / "model-2.safetensors")


def hostile_path(folder) -> None:
    manifest = folder / "result" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["files"]["../../outside.json"] = "0" * 64
    manifest.write_text(json.dumps(values))


def hostile_unlisted(folder) -> None:
    (folder / "result" / "weights" / "more.json").write_text("{}")


def hostile_weights(folder) -> None:
    file = folder / "result" / "weights" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")


def hostile_signed_weights(folder) -> None:
    hostile_weights(folder)
    sign(folder, "weights/model.safetensors")


def hostile_header(folder) -> None:
    (folder / "result" / "weights" / "model.safetensors").write_bytes(b"\xff" * 64)
    sign(folder, "weights/model.safetensors")


def hostile_curve(folder) -> None:
    (folder / "result" / "steps.jsonl").write_text('{"step": 1, "epoch": NaN, "tokens": 1, "seconds": 1}\n')
    sign(folder, "steps.jsonl")


def hostile_huge_number(folder) -> None:
    (folder / "result" / "steps.jsonl").write_text(f'{{"step": 1{"0" * 30}, "epoch": 1, "tokens": 1, "seconds": 1}}\n')
    sign(folder, "steps.jsonl")


def hostile_settings(folder) -> None:
    file = folder / "result" / "model.json"
    values = json.loads(file.read_text())
    values["settings"]["learning_rate"] = 0.5
    file.write_text(json.dumps(values))
    sign(folder, "model.json")


def hostile_disciplines(folder) -> None:
    file = folder / "result" / "model.json"
    values = json.loads(file.read_text())
    values["disciplines"] = {"<script>": values["rows"]}
    file.write_text(json.dumps(values))
    sign(folder, "model.json")


def hostile_bundle(folder) -> None:
    manifest = folder / "result" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"bundle": "', '"bundle": "\\u001b[31m'))


def hostile_depth(folder) -> None:
    (folder / "result" / "manifest.json").write_text("[" * 100_000)


CASES = {
    hostile_pickle: "can execute code", hostile_link: "is a link", hostile_folder_link: "has no result", hostile_pipe: "not a regular file",
    hostile_path: "inside the folder", hostile_unlisted: "is not listed", hostile_weights: "was changed",
    hostile_signed_weights: "not those that were trained", hostile_header: "not a complete safetensors", hostile_curve: "damaged in line 1",
    hostile_huge_number: "damaged in line 1", hostile_settings: "another learning rate", hostile_disciplines: "not those of its snapshot",
    hostile_bundle: "of another bundle", hostile_depth: "is not a JSON object",
}  # fmt: skip


@pytest.mark.parametrize("change", CASES, ids=lambda change: change.__name__.removeprefix("hostile_"))
def test_hostile_contents_are_refused_in_one_line_and_leave_nothing(change, returned, taught, capsys):
    change(returned)
    before, models = (
        len(run_rows.runs(taught.db)),
        sorted(os.listdir(taught.folder / "models")) if (taught.folder / "models").exists() else [],
    )
    told = refused(capsys, "models", taught.folder, "import", returned, "--name", "hostile")
    assert CASES[change] in told and "\x1b" not in told
    assert len(run_rows.runs(taught.db)) == before
    assert not (taught.folder / "models").exists() or sorted(os.listdir(taught.folder / "models")) == models


def test_a_read_only_studio_refuses(trained, taught, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GLAN_READ_ONLY", "1")
    assert "read-only" in refused(capsys, "models", taught.folder, "import", trained, "--name", "closed")
    words = ["bundle", taught.folder, "--snapshot", "first", "--name", "closed", *SCRATCH, *FAST, "--out", tmp_path / "closed"]
    assert "read-only" in refused(capsys, *words) and not (tmp_path / "closed").exists()
