"""Panel beside a chat: questions of the validation split, or the training examples nearest to a reply."""

import networkx as nx
import streamlit as st

from glan_core.chat import conversations, heldout_prompts
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.formatting import number, plural, shorten
from glan_core.models import server_client
from glan_core.models.model_specs import model_title
from glan_core.models.tuned_model_store import read_model
from glan_core.taxonomy import hierarchy
from glan_core.training.recipes import RECIPES
from glan_core.workspace import Workspace, chat_rows
from pages.components.chat import page_state, turn_view
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import escape, model_markdown, show_error

OFFERED = 4


def panel(ws: Workspace, tree: nx.DiGraph, conversation_id: int | None, *, writing: bool) -> None:
    """Draw the nearest training examples of the selected reply, else the validation questions."""
    if source := st.session_state.get("talk_source"):
        _taught(ws, tree, *source)
    else:
        _about(ws)
        _questions(ws, tree, conversation_id, writing=writing)


def _about(ws: Workspace) -> None:
    """Draw a summary of the selected tuned models."""
    for spec in st.session_state.talk_specs:
        if not spec.startswith("tuned:"):
            continue
        try:
            model = read_model(ws, spec.removeprefix("tuned:"))
        except GlanError as error:
            show_error(error)
            continue
        learned = f"{plural(model.rows, 'pair')} of snapshot {model.snapshot}" if model.snapshot else plural(model.rows, "pair")
        what = f"**{escape(model.name)}** · {escape(RECIPES[model.recipe].label if model.recipe in RECIPES else model.recipe)} · {escape(learned)}"
        st.markdown(what)
        if model.recipe == "demo":
            st.caption(
                "A tiny model trained from scratch. It reproduces the topics of its training data; other prompts give "
                "meaningless replies."
            )


def _questions(ws: Workspace, tree: nx.DiGraph, conversation_id: int | None, *, writing: bool) -> None:
    st.markdown("**Validation questions**")
    snapshot = page_state.first_snapshot(ws, st.session_state.talk_specs)
    if not snapshot:
        st.caption("Select a tuned model to see questions held out of its training data, with reference answers.")
        return
    focus = url_state.focus()
    seed = st.session_state.setdefault("talk_offer", 0)
    try:
        hash = read_snapshot(ws, snapshot).manifest.hash
        offered = _drawn(
            str(ws.folder), ws, (snapshot, hash), tuple(hierarchy.disciplines_under(tree, focus)) if focus else None, seed
        )
    except GlanError as error:
        st.caption(escape(str(error)))
        return
    if not offered:
        where = " in the focus" if focus else ""
        st.caption(escape(f"Snapshot {snapshot} has no validation questions{where}."))
        return
    for row in offered:
        name = row.taxonomy[-1] if row.taxonomy else ""
        with st.container(border=True, gap="xsmall"):
            st.caption(escape(name))
            st.markdown(escape(shorten(" ".join(row.question.split()), 150)))
            asked = st.button(
                "Ask", key=f"talk_ask_{row.id}", type="tertiary", icon=":material/send:", disabled=writing or ws.read_only
            )
        if asked:
            turn_view.send_prompt(ws, conversation_id, row.question, question_id=row.id, reference=row.answer)

    def others() -> None:
        st.session_state.talk_offer = seed + 1

    st.button("Shuffle", icon=":material/shuffle:", type="tertiary", key="talk_others", on_click=others)


@st.cache_data(max_entries=50, ttl="10m", show_spinner=False)
def _drawn(folder: str, _ws: Workspace, snapshot: tuple[str, str], disciplines: tuple[str, ...] | None, seed: int) -> list:
    return heldout_prompts.sample_prompts(_ws, snapshot[0], disciplines, OFFERED, seed)


def _taught(ws: Workspace, tree: nx.DiGraph, turn_id: int, version: int, pane: int) -> None:
    """Draw the training examples nearest to a reply."""

    def back() -> None:
        st.session_state.talk_source = None

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Back to validation questions",
            icon=":material/arrow_back:",
            type="tertiary",
            key="talk_back",
            on_click=back,
            help="Back to validation questions",
        )
        st.markdown("**Nearest training examples**", width="content")
    turn = chat_rows.turn(ws.db, turn_id)
    replies = chat_rows.replies(ws.db, turn_id, version)
    reply = next((reply for reply in replies if reply.pane == pane), None)
    if turn is None or reply is None:
        st.caption("This reply was deleted.")
        return
    if not (model := page_state.trained_model(ws, reply)):
        st.caption(f"The training examples of {escape(model_title(reply.model))} are unknown.")
        return
    try:
        with st.spinner("Comparing training examples with the reply …"):
            found = _nearest(str(ws.folder), model.name, model.weights_hash, turn.prompt, conversations.answer_text(reply))
    except GlanError as error:
        show_error(error)
        return
    st.caption(
        escape(
            f"{found['measure']} {number(found['compared'])} of the {number(found['of'])} rows that {model.name} was trained on were "
            "compared. Similarity does not prove influence."
        )
    )
    if not found["rows"]:
        st.caption("No similar training examples.")
    with st.container(height=640, border=False):
        for row in found["rows"]:
            _row(tree, row)


@st.cache_data(max_entries=50, show_spinner=False)
def _nearest(folder: str, model: str, weights_hash: str, prompt: str, answer: str) -> dict:
    return server_client.nearest_rows(folder, model, prompt, answer)


def _row(tree: nx.DiGraph, row: dict) -> None:
    with st.container(border=True, gap="xsmall"):
        st.caption(escape(" › ".join([*row["taxonomy"], row["subject"]])))
        st.markdown(f"**{row['similarity']:.2f}** · {escape(shorten(' '.join(row['prompt'].split()), 200))}")
        with st.expander("Answer"):
            st.markdown(model_markdown(row["completion"]))
        if row["here"] and st.button("Open in Homework", key=f"talk_row_{row['id']}", type="tertiary", icon=":material/quiz:"):
            url_state.select(**({"focus": row["discipline"]} if row["discipline"] in tree else {}), pair=row["id"])
            url_state.open_page("pages/homework.py")
