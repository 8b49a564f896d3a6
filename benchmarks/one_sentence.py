"""A Streamlit app of one sentence: page_speed.py measures it beside the studio."""

import streamlit as st

st.markdown("Only Streamlit itself is needed for this page.")
