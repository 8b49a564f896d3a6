"""Configuration: files of connections and webhooks, options of commands and stored settings are valid or refused with a reason."""

import argparse
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.outside_strategies import damaged, encoded, json_texts, json_values, texts

from glan_core.cli.teacher_options import _stage
from glan_core.errors import GlanError
from glan_core.generation.settings import StageSettings
from glan_core.import_strings import load_symbol
from glan_core.runs import notifications, registry
from glan_core.settings import Settings, read_settings
from glan_core.settings_options import add_options, given_values, option_names, option_words
from glan_core.teachers import connections
from glan_core.teachers.prices import parse_price

CLASSES = [load_symbol(place) for place in sorted({kind.settings for kind in registry.RUN_KINDS.values()})]
CONNECTION = st.fixed_dictionaries({"name": st.sampled_from(("local", "a b", "")) | st.text(max_size=4)},
                                   optional={"base_url": st.sampled_from(("http://localhost:1/v1", "x")) | json_values(), "model": json_values(),
                                             "key_variable": json_values(), "headers": json_values()})  # fmt: skip
FILES = encoded(json_texts() | damaged(st.lists(CONNECTION, max_size=2).map(json.dumps)) | texts())


@given(content=FILES)
def test_a_file_of_connections_is_read_or_refused(content):
    path = connections.file_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        found = connections.list_connections()
    except GlanError as error:
        assert "connections.json" in str(error) or str(path) in str(error)
        return
    assert all(isinstance(each, connections.Connection) for each in found)
    connections._write(found)
    assert connections.list_connections() == found


@given(content=FILES)
def test_a_file_of_webhooks_is_read_or_refused(content):
    path = notifications.settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        found = notifications.webhooks()
    except GlanError as error:
        assert str(path) in str(error)
        return
    assert all(notifications.checked_url(url) == url for url in found.values())


@pytest.mark.long
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_stored_settings_are_read_or_refused(kind, data):
    names = st.sampled_from(sorted(kind.model_fields)) | st.text(max_size=3)
    values = data.draw(st.dictionaries(names, json_values(), max_size=3))
    try:
        found = read_settings(kind, values)
    except GlanError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return
    assert read_settings(kind, json.loads(found.model_dump_json())) == found


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in CLASSES if option_names(kind)], ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_settings_are_the_options_that_stand_for_them(kind: type[Settings], data):
    """Options of one field at a time, from text to settings to text to settings."""
    name = data.draw(st.sampled_from(option_names(kind)))
    text = data.draw(
        st.sampled_from(("1", "0.5", "none", "a,b", "{}", '{"a": 1}', "on", "x", "", "-1", "2026", "é", "nan")) | texts(3)
    )
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, kind)
    option = f"--{name.replace('_', '-')}"
    try:
        values = given_values(parser.parse_args([f"{option}={text}"]), kind)
        found = read_settings(kind, values)
    except (argparse.ArgumentError, GlanError):
        return  # refused, or another setting is missing
    except SystemExit:
        return
    words = option_words(found, {field: info.default for field, info in kind.model_fields.items()})
    assert read_settings(kind, given_values(parser.parse_args(words), kind)) == found


@given(texts() | st.builds("{}={}".format, st.sampled_from(sorted(StageSettings.model_fields)), texts(3)))
def test_the_option_of_a_stage_is_read_or_refused(text):
    try:
        stage, values = _stage(f"answer:{text}")
    except GlanError as error:
        assert str(error).startswith("--stage")
        return
    assert stage == "answer" and isinstance(read_settings(StageSettings, values), StageSettings)


@given(texts(3) | st.builds("{},{}".format, st.floats() | st.integers(), st.floats() | st.integers()))
def test_a_price_is_finite_or_refused(text):
    try:
        price = parse_price(text)
    except GlanError:
        return
    assert 0 <= price.of(10, 10) < float("inf")
