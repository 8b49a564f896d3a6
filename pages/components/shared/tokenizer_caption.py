"""Warning beside losses of models whose tokenizers differ: a loss per token says nothing between them."""

from collections.abc import Collection

import streamlit as st

from glan_core.models.tuned_model_store import TunedModel

DIFFER = ":material/warning: The tokenizers of these models differ, so their losses per token are not comparable: compare bits per byte."


def tokenizers_caption(models: Collection[TunedModel]) -> None:
    """Draw the warning if models with a validation loss have different tokenizers."""
    if len({model.tokenizer for model in models if "validation" in model.losses}) > 1:
        st.caption(DIFFER)
