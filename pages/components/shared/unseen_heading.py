"""Headings for screen readers, where sighted users see from the layout what a text is."""

from html import escape

import streamlit as st


def draw(heading: str) -> None:
    """Draw a heading of the second level that is not seen; texts of models, whose headings begin at the third, follow it."""
    st.html(f'<h2 class="glan-unseen">{escape(heading)}</h2>')
