"""`glan connections`, `--teacher @NAME` and default teachers from the command line."""

import json
import subprocess
import sys

import pytest
from support.runs import Canned, Served, completion, stage_of

from glan_core.cli import main
from glan_core.teachers.connections import PROVIDERS, connection_names, file_path, list_connections
from glan_core.teachers.endpoint_settings import endpoint
from glan_core.workspace import call_rows, run_rows


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns (exit code, stdout, stderr)."""

    def command(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        return code, *capsys.readouterr()

    return command


def test_a_connection_is_added_listed_tested_and_used(run, ws, monkeypatch):
    monkeypatch.setenv("MY_KEY", "a-secret-key")
    with Served(api_key="a-secret-key") as served:
        added = run("connections", "add", "mine", "--model", "scripted", "--base-url", served.url, "--key-variable", "MY_KEY")
        assert added[0] == 0 and "--teacher @mine" in added[1]
        assert "a-secret-key" not in file_path().read_text()
        code, out, _ = run("connections", "test", "@mine", "--json")
        assert code == 0 and json.loads(out)["state"] == "ready"
        code, out, _ = run("generate", str(ws.folder), "--disciplines", "mathematics", "--teacher", "@mine", "--subject-queries", "1",
                           "--max-subjects", "1", "--questions-per-syllabus", "2")  # fmt: skip
        assert code == 0, out
    [stored] = run_rows.runs(ws.db)
    assert (stored.params["teacher"], stored.params["base_url"], stored.params["key_variable"]) == (
        "openai:scripted", served.url, "MY_KEY"
    )  # fmt: skip
    assert "a-secret-key" not in json.dumps(stored.params)
    assert run("connections", "list")[1].count("@mine") == 1
    assert run("connections", "remove", "mine")[0] == 0 and "No connections are saved" in run("connections", "list")[1]


def test_default_teachers_are_used_without_a_teacher_option(run, ws):
    with Served() as first, Served() as second:
        run("connections", "add", "one", "--model", "scripted", "--base-url", first.url)
        run("connections", "add", "two", "--model", "scripted", "--base-url", second.url)
        assert run("connections", "default", str(ws.folder), "all", "@one")[0] == 0
        assert run("connections", "default", str(ws.folder), "answer", "@two")[0] == 0
        assert run("generate", str(ws.folder), "--disciplines", "mathematics", "--subject-queries", "1", "--max-subjects", "1",
                   "--questions-per-syllabus", "2")[0] == 0  # fmt: skip
        assert second.tells("/stats")["served"] == 2 and first.tells("/stats")["served"] == 6
    assert run("connections", "default", str(ws.folder), "all", "none")[0] == 0
    assert json.loads(run("connections", "default", str(ws.folder), "--json")[1]) == {"answer": "@two"}
    assert sum(row[3] for row in call_rows.stage_averages(ws.db, "openai:scripted").values()) == 8


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("test", "nothing"), "There is no connection @nothing"), (("remove", "nothing"), "There is no connection @nothing"),
        (("add", "a b", "--model", "x"), "not a valid name"), (("add", "x", "--provider", "ollama"), "Give the model"),
        (("add", "x", "--provider", "azure", "--model", "d"), "address of your resource"),
        (("add", "x", "--model", "m", "--headers", '{"api-key": "1"}'), "credential"),
        (("add", "x", "--model", "m", "--key-variable", "sk-proj-12345678"), "not the key itself"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(run, words, says):
    code, out, err = run("connections", *words)
    assert code == 2 and says in err and err.count("\n") == 1 and not out and "12345678" not in err


@pytest.mark.parametrize("words", [("plan", "DIR", "--disciplines", "music"), ("preview", "DIR", "--discipline", "music")])
def test_an_unknown_connection_is_refused_everywhere(run, ws, words):
    code, _, err = run(*(word.replace("DIR", str(ws.folder)) for word in words), "--teacher", "@nowhere")
    assert code == 2 and "There is no connection @nowhere" in err


def test_an_existing_name_is_replaced_only_on_request(run):
    assert run("connections", "add", "x", "--model", "a", "--base-url", "http://localhost:1/v1")[0] == 0
    assert run("connections", "add", "x", "--model", "b", "--base-url", "http://localhost:1/v1")[0] == 2
    assert run("connections", "add", "x", "--model", "b", "--base-url", "http://localhost:1/v1", "--replace")[0] == 0


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_template_has_a_valid_address_and_a_price_only_for_own_servers(name):
    template = PROVIDERS[name]
    assert endpoint(template.base_url) == template.base_url
    assert (template.price == "0,0") == (template.key_variable is None)


def test_processes_that_save_at_once_lose_nothing(tmp_path, monkeypatch):
    save = (
        "import sys; from glan_core.teachers.connections import Connection, save_connection\n"
        "for n in range(15): save_connection(Connection(name=f'{sys.argv[1]}-{n}', model='m', base_url='http://localhost:1/v1'))"
    )
    children = [subprocess.Popen([sys.executable, "-c", save, name]) for name in ("a", "b", "c")]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(list_connections()) == 45


@pytest.mark.parametrize("text", ['[{"name": "x"}]', "[3]", '{"a": 1}', "[[]]", "\x00"])
def test_a_damaged_file_is_named_and_lists_stay_empty(run, text):
    file_path().parent.mkdir(parents=True, exist_ok=True)
    file_path().write_text(text)
    code, _, err = run("connections", "list")
    assert code == 2 and str(file_path()) in err and "cannot be read" in err and connection_names() == []


def test_the_key_of_openai_goes_to_no_other_host_of_a_connection_or_a_stage(run, ws, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-key")
    keys = []

    async def handle(request):
        keys.append(request.headers.get("Authorization"))
        messages = (await request.json())["messages"]
        return completion(Canned().usual(stage_of(messages), messages))

    target = ("--disciplines", "mathematics", "--subject-queries", "1", "--max-subjects", "1", "--questions-per-syllabus", "1")
    with Served(handle) as served:
        run("connections", "add", "mine", "--model", "m", "--base-url", served.url)
        assert run("generate", str(ws.folder), *target, "--teacher", "@mine")[0] == 0
        assert set(keys) == {None}
        stage = f"answer:teacher=openai:m,base_url={served.url}"
        assert run("generate", str(ws.folder), *target[:-1], "2", "--stage", stage)[0] == 0
        assert set(keys) == {None}


@pytest.mark.parametrize("price", ["abc", "-1,2", "1"])
def test_a_price_that_is_none_is_refused_when_it_is_saved(run, price):
    code, _, err = run("connections", "add", "x", "--model", "m", "--base-url", "http://localhost:1/v1", "--price", price)
    assert code == 2 and "not a valid price" in err and not list_connections()
