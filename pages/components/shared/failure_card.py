"""The failures of one stage with one cause: count, latest message, what to change, and the start of the latest reply."""

import streamlit as st

from glan_core.formatting import number, shorten
from glan_core.generation.failure_causes import REPLY_SHOWN, advice_for
from glan_core.generation.stage_specs import stage_title
from glan_core.workspace.call_rows import FailureGroup
from pages.components.shared.untrusted_text import escape


def failure_card(group: FailureGroup) -> None:
    """Draw the failures of one stage with one cause."""
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{stage_title(group.stage).capitalize()}: {escape(group.cause)}** · {number(group.count)}")
        st.markdown(f"The latest: {escape(group.message)}")
        if advice := advice_for(group.cause, group.stage):
            st.markdown(f":material/build: {escape(advice)}")
        if group.reply.strip():
            st.caption(f"Its reply begins: {escape(shorten(' '.join(group.reply.split()), REPLY_SHOWN))}")
