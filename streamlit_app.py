"""Entry point of GLAN Studio: page config, logo and navigation (`streamlit run streamlit_app.py` or `make run`)."""

import streamlit as st

from glan_core.errors import GlanError
from glan_core.resources import ASSETS
from glan_core.workspace import DatabaseError
from pages.components.shared import sign_in
from pages.components.shared.untrusted_text import show_error

st.set_page_config(page_title="GLAN Studio", page_icon=str(ASSETS / "mark.svg"), layout="wide")
st.logo(
    str(ASSETS / "logo-dark.svg" if st.context.theme.type == "dark" else ASSETS / "logo.svg"),
    icon_image=str(ASSETS / "mark.svg"),
)
st.html(ASSETS / "studio.css")  # for `streamlit run streamlit_app.py`; asgi_app.py embeds it in the page that it serves

admitted = sign_in.is_admitted()
page = st.navigation({
    "Explore": [
        st.Page("pages/overview.py", title="Overview", icon=":material/donut_large:", default=True,
                help="Coverage of the taxonomy."),
        st.Page("pages/taxonomy.py", title="Taxonomy", icon=":material/account_tree:",
                help="Browse, search, edit and extend the taxonomy; vote on nodes."),
        st.Page("pages/syllabi.py", title="Syllabi", icon=":material/menu_book:",
                help="Subjects, and their syllabi as course plans with key concepts."),
        st.Page("pages/homework.py", title="Homework", icon=":material/quiz:",
                help="Questions and answers with their provenance; search and review."),
    ],
    "Dataset": [
        st.Page("pages/diversity.py", title="Diversity", icon=":material/scatter_plot:",
                help="Map of all questions, and diversity metrics."),
        st.Page("pages/dataset.py", title="Dataset", icon=":material/database:",
                help="Quality filters, deduplication, decontamination, snapshots and export."),
    ],
    "Model": [
        st.Page("pages/train.py", title="Train", icon=":material/model_training:",
                help="Fine-tune a model on a snapshot, and watch its loss."),
        st.Page("pages/models.py", title="Models", icon=":material/deployed_code:",
                help="Tuned models: lineage, merge, export and serving."),
        st.Page("pages/chat.py", title="Chat", icon=":material/forum:",
                help="Compare the replies of tuned and base models; find the nearest training examples."),
        st.Page("pages/evaluate.py", title="Evaluate", icon=":material/leaderboard:",
                help="Pairwise judging by discipline, benchmarks, contamination probe and scaling."),
    ],
    "Build": [
        st.Page("pages/runs.py", title="Runs", icon=":material/play_circle:",
                help="Plan, price, start and watch runs."),
        st.Page("pages/connections.py", title="Connections", icon=":material/cable:",
                help="Saved endpoints, their test, and the default teachers of the workspace."),
        st.Page("pages/workspaces.py", title="Workspaces", icon=":material/folder_copy:",
                help="Create, rename, duplicate, archive and compare workspaces."),
        st.Page("pages/search.py", title="Search", visibility="hidden"),
    ],
}, expanded=True, position="sidebar" if admitted else "hidden")  # fmt: skip
if not admitted:
    sign_in.draw_page()
    st.stop()
st.session_state.framed = True
sign_in.account()
try:
    page.run()
except GlanError as error:
    show_error(error)
except (DatabaseError, UnicodeDecodeError) as error:  # damaged text is not UTF-8
    show_error(GlanError(f"The database of this workspace is damaged or unusable ({error}). Restore it from a backup."))
