"""Tags of a pair (duplicate, contaminated, filtered, judged low) with the button that overrules them."""

import streamlit as st

from glan_core.dataset.quality_filter_job import RULES
from glan_core.errors import GlanError
from glan_core.formatting import shorten
from glan_core.homework import review
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.tag_rows import Tag
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import escape


def panel(ws: Workspace, seq: int) -> None:
    """Show every tag of a pair: a warning if it excludes the pair, a caption if it is overruled."""
    for tag in tag_rows.tags_of(ws.db, seq):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"tag_{tag.kind}_{tag.name}"):
            if tag.overruled_by:
                st.caption(
                    f":material/check: Included anyway by {escape(tag.overruled_by)}: {describe(ws, tag)}", width="stretch"
                )
            else:
                st.warning(f"Excluded: {describe(ws, tag)}", width="stretch")
            overrule_button(ws, tag)


def describe(ws: Workspace, tag: Tag) -> str:
    """Return the finding of a tag as Markdown."""
    match tag.kind:
        case "duplicate":
            other = homework_rows.pair(ws.db, tag.other) if tag.other else None
            text = f"“{escape(shorten(other.question.text, 90))}”" if other else "a deleted question"
            how = {"exact": "exact duplicate of", "near": "near duplicate of", "meaning": "semantic duplicate of"}[tag.name]
            return f"{how} {text}" + (f" (similarity {tag.score:.2f})" if tag.name != "exact" and tag.score else "")
        case "contaminated":
            where = tag.detail.get("where", "question")
            share = f", {tag.score:.0%} of it" if tag.score is not None else ""
            return f"the {where} matches a question of {escape(tag.name)}{share}"
    found = tag.detail.get("found") or tag.detail.get("comment") or ""
    name = RULES[tag.name].label if tag.name in RULES else {"judge": "low judge score"}.get(tag.name, tag.name)
    return escape(name) + (f": {escape(shorten(str(found), 120))}" if found else "")


def overrule_button(ws: Workspace, tag: Tag) -> None:
    """Draw the button that includes a pair in spite of a tag, or reverts that."""
    if ws.read_only:
        return
    label, icon = ("Exclude again", "undo") if tag.overruled_by else ("Include anyway", "check")
    st.button(
        label, icon=f":material/{icon}:", type="tertiary", key=f"overrule_{tag.seq}_{tag.kind}_{tag.name}",
        on_click=_overrule, args=(ws, tag, None if tag.overruled_by else url_state.user()),
    )  # fmt: skip


def _overrule(ws: Workspace, tag: Tag, who: str | None) -> None:
    try:
        review.overrule(ws, tag, who)
    except GlanError as error:
        st.session_state.deed_error = error
