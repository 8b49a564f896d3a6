"""Generated documentation is current: `make docs` would write what is there."""

import importlib.util

import pytest
import yaml

from glan_core.resources import CHECKOUT

DOCS = CHECKOUT / "docs"
_spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


@pytest.mark.parametrize("path", ["reference/settings.md", "reference/commands.md", "reference/schema.md", "architecture.md"])
def test_a_generated_page_is_current(path):
    assert generate.pages()[DOCS / path] == (DOCS / path).read_text("utf-8"), "run make docs"


def test_every_table_is_described_and_no_other():
    assert set(yaml.safe_load((DOCS / "tables.yaml").read_text("utf-8"))) == set(generate.tables())


def test_every_setting_has_a_title_and_a_description():
    missing = [line for line in generate.settings_reference().splitlines() if line.startswith("| `") and ". |" not in line[-4:]]
    assert missing == []
