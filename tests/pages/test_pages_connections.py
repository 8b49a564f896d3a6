"""Tests for the Connections page: saving, testing and removing endpoints, and default teachers in forms."""

import pytest
from support.child_servers import free_port
from support.runs import Served
from support.studio_app import Studio, choose

from glan_core.generation.default_teachers import default_teachers, set_default_teacher
from glan_core.teachers.connections import Connection, file_path, list_connections, save_connection

pytest_plugins = ["support.studio_fixtures"]


def filled(**values: str) -> Studio:
    """Open the page and fill the form of a new connection."""
    shown = Studio("connections")
    for name, value in values.items():
        shown.app.text_input(key=f"connection_{name}").set_value(value)
    shown.app.run()
    return shown


def test_a_connection_is_saved_selected_changed_and_removed(starter_ws):
    shown = filled(name="mine", model="tiny", base_url="http://localhost:9/v1/chat/completions", price="0,0").press(
        "Save connection"
    )
    assert shown.fine and "1 connection saved" in shown.said and "@mine" in shown.said
    [saved] = list_connections()
    assert (saved.name, saved.model, saved.base_url, saved.price) == ("mine", "tiny", "http://localhost:9/v1", "0,0")
    shown.app.text_input(key="connection_model").set_value("larger").run()
    shown.press("Save connection")
    assert shown.fine and list_connections()[0].model == "larger"
    shown.press("Remove connection")
    assert shown.fine and not list_connections() and "No connections are saved" in shown.said


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": "", "model": "x"}, "Enter the name"), ({"name": "a b", "model": "x"}, "not a valid name"),
        ({"name": "a", "model": ""}, "Enter the model"), ({"name": "a", "model": "x", "base_url": "nonsense"}, "not a valid URL"),
        ({"name": "a", "model": "x", "key_variable": "sk-proj-12345678"}, "not the key itself"),
        ({"name": "a", "model": "x", "headers": '{"Authorization": "Bearer 1"}'}, "credential"),
        ({"name": "a", "model": "x", "extra_body": "{"}, "not valid JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_is_refused_in_words(starter_ws, values, says):
    shown = filled(**values).press("Save connection")
    assert shown.fine and says in shown.said and not list_connections()


def test_a_name_that_is_taken_is_not_replaced(starter_ws):
    save_connection(Connection(name="mine", model="first", base_url="http://localhost:9/v1"))
    shown = filled(name="mine", model="second", base_url="http://localhost:9/v1").press("Save connection")
    assert "exists already" in shown.said and list_connections()[0].model == "first"


def test_a_template_fills_the_form(starter_ws):
    shown = Studio("connections")
    shown.app.session_state["connection_template"] = "ollama"
    choose(shown, connection_template="ollama")
    values = {name: shown.app.text_input(key=f"connection_{name}").value for name in ("name", "base_url", "price")}
    assert shown.fine and values in (
        {"name": "ollama", "base_url": "http://localhost:11434/v1", "price": "0,0"}, {"name": "", "base_url": "", "price": ""}
    )  # fmt: skip


def test_the_test_button_requests_one_token(starter_ws):
    with Served() as endpoint:
        shown = filled(name="mine", model="scripted", base_url=endpoint.url).press("Test")
        assert shown.fine and "answers in" in shown.said and "models: scripted" in shown.said
        assert endpoint.tells("/stats")["served"] == 1
    shown = filled(name="mine", model="x", base_url=f"http://127.0.0.1:{free_port()}/v1").press("Test")
    assert shown.fine and "cannot be reached" in shown.said


def test_connections_are_offered_in_forms_and_the_default_is_selected_first(starter_ws):
    save_connection(Connection(name="mine", model="tiny", base_url="http://localhost:9/v1", key_variable="MY_KEY", price="0,0"))
    shown = Studio("runs")
    assert (
        "@mine" in str(shown.app.selectbox(key="run_kind").options) and shown.app.selectbox(key="run_kind").value == "scripted"
    )
    set_default_teacher(starter_ws, "all", "@mine")
    set_default_teacher(starter_ws, "answer", "openai:fast")
    shown = Studio("runs")
    assert shown.fine and shown.app.selectbox(key="run_kind").value == "@mine"
    assert "--stage 'answer:teacher=openai:fast" in shown.said or "answer:teacher=openai:fast" in shown.said
    assert "http://localhost:9/v1" in shown.said and "free" in shown.said
    assert default_teachers(starter_ws) == {"all": "@mine", "answer": "openai:fast"}


def test_an_unreadable_file_is_said_on_the_page_and_in_forms(starter_ws):
    file_path().parent.mkdir(parents=True, exist_ok=True)
    file_path().write_text("{not json")
    for page in ("connections", "runs"):
        shown = Studio(page)
        assert shown.fine and "cannot be read" in shown.said
