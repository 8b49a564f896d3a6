"""Default teachers of the workspace: the teacher that forms and commands use first, for all stages and for single ones."""

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.generation.default_teachers import EVERY_STAGE, default_teachers, set_default_teacher
from glan_core.generation.stage_specs import STAGE_SPECS, stage_title
from glan_core.teachers.connections import MARK, Connection
from glan_core.workspace import Workspace
from pages.components.shared.untrusted_text import show_error

STAGES = (EVERY_STAGE, *(stage for stage in STAGE_SPECS if not stage.startswith("answer_")))


def panel(ws: Workspace, saved: list[Connection]) -> None:
    """Draw the table of default teachers; a changed cell is stored at once."""
    st.caption("Used first by every form, and by commands without --teacher. Empty cells use the teacher of all stages.")
    defaults = default_teachers(ws)
    options = ["scripted", *(f"{MARK}{connection.name}" for connection in saved)]
    options += [teacher for teacher in defaults.values() if teacher not in options]
    edited = st.data_editor(
        pd.DataFrame({
            "stage": ["All stages" if stage == EVERY_STAGE else stage_title(stage).capitalize() for stage in STAGES],
            "teacher": pd.Series([defaults.get(stage) for stage in STAGES], dtype="string"),
        }),
        key=f"default_teachers_of_{ws.folder.name}", hide_index=True, placeholder="–", width="content", alt="Default teachers by stage",
        disabled=True if ws.read_only else ["stage"],
        column_config={
            "stage": st.column_config.TextColumn("Stage", width=160),
            "teacher": st.column_config.SelectboxColumn("Teacher", options=options, width=260, help="Clear the cell to remove it."),
        },
    )  # fmt: skip
    for stage, teacher in zip(STAGES, edited["teacher"], strict=True):
        chosen = teacher if isinstance(teacher, str) and teacher else None
        if chosen != defaults.get(stage):
            try:
                set_default_teacher(ws, stage, chosen)
            except GlanError as error:
                show_error(error)
            else:
                st.session_state.default_teachers = default_teachers(ws)
