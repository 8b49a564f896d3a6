"""Default teachers of a workspace: one for all stages, and others for single stages."""

from collections.abc import Mapping
from typing import Any

from glan_core.errors import GlanError
from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.teachers import check_spec
from glan_core.teachers.connections import MARK, resolve
from glan_core.workspace import Workspace
from glan_core.workspace.workspace import set_metadata

KEY = "default_teachers"
EVERY_STAGE = "all"


def default_teachers(ws: Workspace) -> dict[str, str]:
    """Return the default teachers by stage; `EVERY_STAGE` is the one of all other stages."""
    stored = ws.metadata(KEY)
    known = {EVERY_STAGE, *STAGE_SPECS}
    return {stage: str(teacher) for stage, teacher in stored.items() if stage in known} if isinstance(stored, dict) else {}


def set_default_teacher(ws: Workspace, stage: str, teacher: str | None) -> None:
    """Set the default teacher of a stage, or of all stages; None removes it.

    Raises:
        GlanError: If the stage or the teacher is unknown.
    """
    stage = stage.replace("-", "_")
    if stage != EVERY_STAGE and stage not in STAGE_SPECS:
        raise GlanError(f"Unknown stage {stage!r}. Use {EVERY_STAGE} or one of {', '.join(STAGE_SPECS)}.")
    if teacher is not None:
        resolve(teacher) if teacher.startswith(MARK) else check_spec(teacher)
    defaults = {name: value for name, value in default_teachers(ws).items() if name != stage}
    with ws.write() as db:
        set_metadata(db, KEY, defaults | ({stage: teacher} if teacher else {}))


def with_default_teachers(ws: Workspace, values: Mapping[str, object]) -> dict:
    """Return teacher settings with the workspace's defaults for what is not given.

    A teacher that is given replaces all defaults, because it is meant for every stage of the run.
    """
    defaults = default_teachers(ws)
    if values.get("teacher") or not defaults:
        return dict(values)
    given: Any = values.get("stages") or {}
    stages = {name: dict(stage) for name, stage in given.items()}
    for stage, teacher in defaults.items():
        if stage != EVERY_STAGE:
            stages[stage] = {"teacher": teacher} | stages.get(stage, {})
    first = {"teacher": defaults[EVERY_STAGE]} if EVERY_STAGE in defaults else {}
    return {**values, **first, "stages": stages}
