"""Prompt templates are filled in as `string.Template` does, whatever the values are."""

from string import Template

import pytest

from glan_core.prompts import FOLDER, Prompt, prompt

HOSTILE = "costs $5, ${name}, $other, $$ and {0} \\1"


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.md")))
def test_every_prompt_is_filled_in_as_the_standard_library_does(name):
    template = prompt(name)
    values = {field: f"[{field}: {HOSTILE}]" for field in Template(template.text).get_identifiers()}
    assert template.render(**values) == Template(template.text).substitute(values).strip()


def test_placeholders_in_braces_and_escaped_dollars_are_read():
    assert Prompt("test", "\n${a}b $a$$c $b\n", "").render(a="1", b="2", unused="3") == "1b 1$c 2"


def test_a_missing_value_is_an_error():
    with pytest.raises(KeyError, match="b"):
        Prompt("test", "$a $b", "").render(a="1")


def test_a_dollar_that_is_no_placeholder_is_an_error():
    with pytest.raises(ValueError, match="no placeholder at character 7"):
        Prompt("test", "costs $5", "").render()
