"""Dependencies are declared once in pyproject.toml, and requirements.txt pins a set that satisfies them."""

import tomllib

from packaging.requirements import Requirement

import glan_core
from glan_core.resources import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (CHECKOUT / "requirements.txt").read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


def test_every_dependency_is_pinned_to_a_version_that_it_admits():
    declared = {required.name: required for required in map(Requirement, PROJECT["dependencies"])}
    pinned = pins()
    assert set(declared) == set(pinned)
    assert [name for name, required in declared.items() if not required.specifier.contains(pinned[name])] == []


def test_the_version_has_one_source():
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    assert glan_core.__version__.count(".") == 2
