"""One row as the trainer sees it: its tokens, with what is trained on marked."""

from itertools import islice

import streamlit as st

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.formatting import number
from glan_core.training.chat_encoding import Encoded
from glan_core.training.plan import encoder_of
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace
from pages.components.shared import highlighted_text
from pages.components.shared.untrusted_text import fault, plain

ROWS = 50  # that can be looked at
MOST = 700  # tokens that are shown
BREAK = "⏎"
SPACE = "\u200b\u00a0"  # Markdown would drop a common one at the edge of a mark; a line may still break before it


def panel(ws: Workspace, settings: FinetuneSettings) -> None:
    """Pick a row, and see which of its tokens are trained on."""
    st.subheader(
        "A row as it is trained on", anchor=False,
        help="The question in the chat template, then the answer. The loss is taken on the marked tokens alone; the last of them tells "
        "the student to stop.",
    )  # fmt: skip
    try:
        snapshot = read_snapshot(ws, settings.snapshot)
        encoder = encoder_of(snapshot, settings.base, settings.scratch.vocabulary, settings.rows, settings.seed)
        if encoder is None:
            st.caption(
                f"The tokenizer of {plain(str(settings.base))} is not on this machine yet: rows can be shown once it is."
            )
            return
        rows = [row for _, row in islice(snapshot.rows("train"), ROWS)]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            nth = st.number_input("Row", 1, len(rows), key="train_row", width=130, label_visibility="collapsed")
            row = rows[nth - 1]
            encoded = encoder.encode(row["prompt"], row["completion"], settings.max_length)
            cut = f", cut from {number(encoded.full)}" if encoded.cut else ""
            st.caption(
                f"Row {nth} of the first {len(rows)} · {number(len(encoded.ids))} tokens{cut} · {number(encoded.trained)} trained on, "
                ":yellow-background[marked like this]"
            )
        _show(encoder.pieces(encoded.ids[:MOST]), encoded)
    except GlanError as error:
        fault(error)


def _show(pieces: list[str], encoded: Encoded) -> None:
    """The tokens as text, each of those that are trained on marked by itself."""
    text, spans = "", []
    for n, piece in enumerate(pieces):
        shown = piece.replace("\n", BREAK)
        if n >= encoded.start:
            shown = SPACE + shown[1:] if shown.startswith(" ") else shown
            spans.append((len(text), len(text) + len(shown)))
        text += shown + ("\n" if piece.endswith("\n") else "")
    with st.container(border=True, height=420, key="row_tokens"):
        highlighted_text.show(text, spans, most=len(text))
    if len(encoded.ids) > len(pieces):
        st.caption(f"The first {number(len(pieces))} tokens.")
