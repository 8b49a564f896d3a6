"""Options of every command that calls a teacher."""

import argparse
import json
import re

from glan_core.delimited_spans import NextPlaces
from glan_core.errors import GlanError
from glan_core.generation.default_teachers import with_default_teachers
from glan_core.generation.settings import StageSettings, TeacherSettings
from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace

_COMMA = re.compile(r",(?=\s*[\w-]+=)")
NOT_TYPED = ("stages", "live")
STAGE_HELP = (
    "settings of one stage, such as question:teacher=openai:gpt-4o,temperature=0.8 (also top_p, max_tokens, base_url, replicas, "
    "key_variable, headers, extra_body, idle_timeout, price; none sends no value; objects as JSON); repeatable"
)


def add_teacher_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `TeacherSettings`."""
    group = parser.add_argument_group("teacher, limits and budget")
    add_options(group, TeacherSettings, skip=NOT_TYPED)
    group.add_argument("--stage", action="append", default=[], metavar="STAGE:KEY=VALUE,...", help=STAGE_HELP)


def teacher_values(ws: Workspace, args: argparse.Namespace) -> dict:
    """Values given for `TeacherSettings`, with the default teachers of the workspace for what is not given."""
    given = given_values(args, TeacherSettings, skip=NOT_TYPED) | {"stages": dict(map(_stage, args.stage))}
    return with_default_teachers(ws, given)


def _stage(text: str) -> tuple[str, dict]:
    stage, _, values = text.partition(":")
    pairs = [part.partition("=") for part in _parts(values)]
    if not values or any(not separator for _, separator, _ in pairs):
        raise GlanError(f"--stage {text!r}: write it as STAGE:KEY=VALUE,KEY=VALUE, for example question:temperature=0.8.")
    stage, given = (
        stage.strip().replace("-", "_"),
        {key.strip().replace("-", "_"): _value(text, key, value) for key, _, value in pairs},
    )
    if stage not in STAGE_SPECS:
        raise GlanError(f"--stage {text!r}: Unknown stage {stage!r}. Stages: {', '.join(STAGE_SPECS)}.")
    if unknown := [key for key in given if key not in StageSettings.model_fields]:
        raise GlanError(
            f"--stage {text!r}: a stage has no setting {unknown[0]!r}. Choose one of {', '.join(StageSettings.model_fields)}."
        )
    try:
        read_settings(StageSettings, given)
    except GlanError as error:
        raise GlanError(f"--stage {text!r}: {error}") from None
    return stage, given


def _parts(values: str) -> list[str]:
    """Split settings at the commas between them, not at those within a JSON object."""
    places, parts, last = NextPlaces(values), [], 0
    for comma in _COMMA.finditer(values):
        closing, opening = places.find("}", comma.end()), places.find("{", comma.end())
        if closing is None or (opening is not None and opening < closing):
            parts.append(values[last : comma.start()])
            last = comma.end()
    return [*parts, values[last:]]


def _value(text: str, key: str, value: str) -> object:
    """Return the value of a stage setting; a value in braces is a JSON object."""
    if not value.strip().startswith("{"):
        return value.strip()
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise GlanError(f"--stage {text!r}: {key.strip()} is not a valid JSON object.") from None
