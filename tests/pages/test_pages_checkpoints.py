"""Checkpoints on the Models page: listed with loss and size, chatted with, saved as models, deleted."""

import os

import pytest
from support.model_rows import put_checkpoints, put_model
from support.studio_app import Studio, field

from glan_core.models.tuned_model_store import checkpoint_folder, list_models, read_model
from glan_core.operations import removals

pytest_plugins = ["support.studio_fixtures"]


@pytest.fixture
def kept(snapshot_ws):
    """The workspace with a model "student" of 100 steps and its checkpoints 40 and 80, and a model "other" without any."""
    put_model(snapshot_ws, "other", created_at=1.7e9)
    put_model(snapshot_ws, "student")
    put_checkpoints(snapshot_ws, "student")
    (read_model(snapshot_ws, "student").folder(snapshot_ws) / "base").mkdir()
    return snapshot_ws


def checkpoints_of(shown: Studio):
    return next((frame.value for frame in shown.app.dataframe if "step" in frame.value.columns), None)


def click(shown: Studio, key: str) -> Studio:
    next(button for button in shown.app.button if button.key == key).click().run()
    assert shown.fine, shown.app.exception
    return shown


def test_checkpoints_are_listed_with_loss_and_size(kept):
    shown = Studio("models", model="student")
    table = checkpoints_of(shown)
    assert table["step"].tolist() == [40, 80] and table["loss"].tolist() == [2.5, 1.25] and (table["size"] > 0).all()
    assert "Checkpoints" in shown.said and shown.app.query_params["step"] == "40"
    assert checkpoints_of(Studio("models", model="other")) is None


def test_a_link_selects_a_checkpoint(kept):
    shown = Studio("models", model="student", step="80")
    assert shown.fine and any(label.startswith("Remove step 80 · ") for label in shown.labels())
    assert Studio("models", model="student", step="81").app.query_params["step"] == "40", "what is no checkpoint is passed over"


def test_a_checkpoint_is_chatted_with_beside_the_final_weights(kept, monkeypatch):
    gone = []
    monkeypatch.setattr("pages.components.shared.url_state.open_page", gone.append)
    shown = click(Studio("models", model="student", step="80"), "chat_checkpoint")
    assert gone == ["pages/chat.py"] and shown.app.session_state["chat_asked"] == ["tuned:student@80", "tuned:student"]


def test_the_chat_offers_the_checkpoint_by_its_title(kept):
    shown = Studio("chat", models="tuned:student@80,tuned:student")
    assert shown.fine and "student, step 80" in shown.app.multiselect[0].options
    assert shown.app.session_state.talk_specs == ["tuned:student@80", "tuned:student"]


def test_a_checkpoint_is_saved_as_a_model_of_the_typed_name(kept):
    shown = Studio("models", model="student", step="80")
    field(shown, "checkpoint_name_student_80").set_value("Early Bird")
    click(shown, "save_checkpoint_now_student_80")
    new = read_model(kept, "early-bird")
    assert (new.steps, new.losses["validation"], new.weights_hash) == (80, 1.25, "sha256:000000000080")
    assert shown.app.query_params["model"] == "early-bird" and "Saved as early-bird." in [one.value for one in shown.app.toast]
    assert "Checkpoint of student at step 80 of 100." in shown.said
    assert [one.step for one in read_model(kept, "student").checkpoints] == [40, 80]


@pytest.mark.parametrize(
    ("typed", "said"), [("other", "already exists"), ("!!", "has no letter or digit"), ("", "model name is empty")]
)
def test_a_name_that_cannot_be_used_is_an_error(kept, typed, said):
    shown = Studio("models", model="student", step="40")
    field(shown, "checkpoint_name_student_40").set_value(typed)
    click(shown, "save_checkpoint_now_student_40")
    assert said in shown.said and {model.name for model in list_models(kept)} == {"student", "other"}


def test_a_checkpoint_is_deleted_and_the_rest_is_kept(kept):
    shown = Studio("models", model="student", step="80")
    click(shown, "delete_checkpoint_now_student_80")
    assert [one.step for one in read_model(kept, "student").checkpoints] == [40]
    assert not checkpoint_folder(kept, "student", 80).exists() and read_model(kept, "student").weights(kept).exists()
    assert checkpoints_of(shown)["step"].tolist() == [40] and shown.app.query_params["step"] == "40"
    click(shown, "delete_checkpoint_now_student_40")
    assert checkpoints_of(shown) is None and "Checkpoints" not in shown.said
    for removal in removals.list_removals(kept):
        removals.restore(kept, removal.key)
    assert [one.step for one in read_model(kept, "student").checkpoints] == [40, 80]
    assert checkpoint_folder(kept, "student", 80).is_dir() and removals.list_removals(kept) == []


def test_a_checkpoint_deleted_elsewhere_is_an_error_and_no_exception(kept):
    from glan_core.models.checkpoints import remove_checkpoint

    shown = Studio("models", model="student", step="80")
    remove_checkpoint(kept, "student", 80)
    click(shown, "delete_checkpoint_now_student_80")
    assert "has no checkpoint" in shown.said


def test_a_reader_can_chat_with_a_checkpoint_and_change_nothing(kept, monkeypatch):
    kept.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    shown = Studio("models", model="student")
    keys = {button.key for button in shown.app.button}
    assert shown.fine and "chat_checkpoint" in keys and not any("checkpoint_now" in (key or "") for key in keys)
