"""A page that shows every text of the corpus in every way that pages show text; run by Streamlit in a browser test."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402
from support.hostile_workspace import hostile_names, hostile_texts  # noqa: E402

from glan_core.figures.labels import label  # noqa: E402
from glan_core.untrusted import clean  # noqa: E402
from pages.components.shared import plain_table  # noqa: E402
from pages.components.shared.untrusted_text import badge_label, escape, model_markdown, snippet  # noqa: E402

st.set_page_config(layout="wide")
st.html(Path(__file__).parents[2] / "assets/studio.css")
st.header("Corpus")
names = hostile_names()
plain_table.draw(pd.DataFrame({"name": names, "tags": [[name, name] for name in names]}), hide_index=True)
st.selectbox("Name", names)
st.bar_chart({label(name): number for number, name in enumerate(names[:12])}, height=120)
for number, (text, name) in enumerate(zip(hostile_texts(), names, strict=True)):
    left, right = st.columns([2, 1])
    with left, st.container(border=True, key=f"text_{number}"):
        st.caption(f"{number}")
        st.markdown(model_markdown(text))
        st.caption(snippet(text, 120))
    with right, st.container(border=True):
        st.markdown(f"**{escape(name)}**", help=escape(name))
        st.button(escape(name[:60]), key=f"button_{number}", help=escape(name))
        st.metric(escape(name[:40]), number)
        st.badge(badge_label(name[:30]), color="gray")
        st.code(clean(text), language=None)
