"""A training row as tokens, with the tokens of the loss highlighted."""

from itertools import islice

import streamlit as st

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.formatting import number
from glan_core.training.chat_encoding import EncodedPair
from glan_core.training.plan import plan_encoder
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace
from pages.components.shared import highlighted_text
from pages.components.shared.untrusted_text import escape, show_error

ROWS = 50  # rows to choose from
MOST = 700  # tokens shown
BREAK = "⏎"
SPACE = "\u200b\u00a0"  # Markdown drops a plain space at the edge of a highlight; the zero-width space allows a line break


def panel(ws: Workspace, settings: FinetuneSettings) -> None:
    """Draw the choice of a row and its tokens."""
    st.header(
        "Tokenized row", anchor=False,
        help="The question in the chat template, then the answer. The loss covers only the highlighted tokens, including the end "
        "token.",
    )  # fmt: skip
    try:
        snapshot = read_snapshot(ws, settings.snapshot)
        encoder = plan_encoder(snapshot, settings.base, settings.scratch.vocabulary, settings.rows, settings.seed)
        if encoder is None:
            st.caption(
                f"The tokenizer of {escape(str(settings.base))} is not stored locally. Rows can be shown once it is downloaded."
            )
            return
        rows = [row for _, row in islice(snapshot.rows("train"), ROWS)]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            nth = st.number_input("Row", 1, len(rows), key="train_row", width=130, label_visibility="collapsed")
            row = rows[nth - 1]
            encoded = encoder.encode(row["prompt"], row["completion"], settings.max_length)
            cut = f", truncated from {number(encoded.full)}" if encoded.cut else ""
            st.caption(
                f"Row {nth} of the first {len(rows)} · {number(len(encoded.ids))} tokens{cut} · {number(encoded.trained)} in the loss "
                "(:yellow-background[highlighted])"
            )
        _show(encoder.pieces(encoded.ids[:MOST]), encoded)
    except GlanError as error:
        show_error(error)


def _show(pieces: list[str], encoded: EncodedPair) -> None:
    """Draw the tokens as text, with each token of the loss highlighted separately."""
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
        st.caption(f"Showing the first {number(len(pieces))} tokens.")
