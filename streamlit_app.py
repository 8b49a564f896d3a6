"""GLAN Studio: `streamlit run streamlit_app.py`, or `make run`. Page config, workspace choice, navigation."""

from pathlib import Path

import streamlit as st

from glan_core.errors import GlanError
from glan_core.workspace import Damaged
from pages.components.shared.untrusted_text import fault

ASSETS = Path(__file__).parent / "assets"

st.set_page_config(page_title="GLAN Studio", page_icon=str(ASSETS / "mark.svg"), layout="wide")
st.logo(
    str(ASSETS / "logo-dark.svg" if st.context.theme.type == "dark" else ASSETS / "logo.svg"),
    icon_image=str(ASSETS / "mark.svg"),
)
st.html(ASSETS / "studio.css")

page = st.navigation({
    "Explore": [
        st.Page("pages/overview.py", title="Overview", icon=":material/donut_large:", default=True,
                help="How much of the taxonomy is covered, and where it is empty."),
        st.Page("pages/taxonomy.py", title="Taxonomy", icon=":material/account_tree:",
                help="The tree of knowledge: search, edit, grow it with a teacher, vote."),
        st.Page("pages/syllabi.py", title="Syllabi", icon=":material/menu_book:",
                help="Subjects, and their syllabi as course plans with key concepts."),
        st.Page("pages/homework.py", title="Homework", icon=":material/quiz:",
                help="Questions and answers, each with the whole chain that it came from."),
    ],
    "Dataset": [
        st.Page("pages/diversity.py", title="Diversity", icon=":material/scatter_plot:",
                help="Every question on a map: what repeats, what is missing, and how diverse it is in numbers."),
        st.Page("pages/dataset.py", title="Dataset", icon=":material/database:",
                help="What is kept and why the rest is not; filters, duplicates, benchmarks, snapshots, export."),
    ],
    "Model": [
        st.Page("pages/train.py", title="Train", icon=":material/model_training:",
                help="Fine-tune a student on a snapshot, and watch it learn."),
        st.Page("pages/models.py", title="Models", icon=":material/deployed_code:",
                help="Tuned models: what they come from, merging, export, serving."),
        st.Page("pages/chat.py", title="Chat", icon=":material/forum:",
                help="Talk to a tuned model beside its base; see which rows taught it what it says."),
        st.Page("pages/evaluate.py", title="Evaluate", icon=":material/leaderboard:",
                help="What a model learned, by discipline: a judge, benchmarks, a contamination probe, scaling."),
    ],
    "Build": [
        st.Page("pages/runs.py", title="Runs", icon=":material/play_circle:",
                help="Plan and price a run, start it, watch it, pause it."),
    ],
})  # fmt: skip
st.session_state.framed = True
try:
    page.run()
except GlanError as error:
    fault(error)
except Damaged as error:
    st.error(f"The file of this workspace is damaged ({error}): restore it from a copy.")
