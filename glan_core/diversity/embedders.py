"""Who turns questions into vectors: a model of this machine, an endpoint, or words alone.

    embedder = open_embedder("auto")
    embedder.embed(["What is a prime number?"])  # float32, one row a text, each of length 1

Scores of different embedders do not compare: each says in `about` what its distances mean.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glan_core.diversity.settings import AUTO, DEFAULT_MODEL, WORDS, check_embedder
from glan_core.errors import GlanError

if TYPE_CHECKING:
    import numpy as np

WORD_FEATURES = 2**18  # of the hash; a clash of two words among them is rare enough not to matter
WORD_DIMS = 384
WORD_AXES = 8  # of the 384 for each word
TOKENS = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w\w+"  # words; single signs in scripts that do not part words
BATCH = 32
HUB_SECONDS = 3.0


class Embedder(Protocol):
    """`name` says which one it is, wherever its vectors are kept; `about` is one sentence on what its distances mean."""

    name: str
    dim: int
    about: str

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """A float32 row of length 1 for each text, the same for the same text every time."""


def open_embedder(spec: str, base_url: str | None = None) -> Embedder:
    """The embedder that a spec stands for (see `orders.EmbedderSettings`), ready to work.

    GlanError when it can't be had: within seconds, also offline. 'auto' always gives one, and its `about` says which.
    """
    kind, _, rest = check_embedder(spec).partition(":")
    if spec == AUTO:
        return _automatic()
    if spec == WORDS:
        return Words()
    if kind == "openai":
        from glan_core.diversity.openai_embedder import RemoteEmbedder

        return RemoteEmbedder(rest.strip(), base_url)
    return SentenceModel(rest.strip())


def _automatic() -> Embedder:
    try:
        return SentenceModel(DEFAULT_MODEL)
    except GlanError:
        return Words(f" It stands in for {DEFAULT_MODEL}, which could not be loaded.")


class Words:
    """Words, hashed and projected at random to 384 axes: needs nothing, knows no meaning.

    Nothing is learnt, so a text has the same vector whatever the other texts are, today and in ten years.
    """

    name, dim = WORDS, WORD_DIMS

    def __init__(self, why: str = "") -> None:
        from sklearn.feature_extraction.text import HashingVectorizer

        self.about = f"Made from words alone: it measures which words questions share, not what they mean.{why}"
        options = {"n_features": WORD_FEATURES, "token_pattern": TOKENS, "dtype": "float32"}
        self._telling = HashingVectorizer(stop_words="english", **options)
        self._every = HashingVectorizer(**options)
        self._axes = _word_axes()

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """See Embedder. A text of stop words alone is told by those; one without words gets a vector of its own kind."""
        rows = (self._telling.transform(texts) @ self._axes).toarray()
        if bare := [n for n, row in enumerate(rows) if not row.any()]:
            rows[bare] = (self._every.transform([texts[n] for n in bare]) @ self._axes).toarray()
        return unit_rows(rows)


class SentenceModel:
    """A sentence-transformers model, or a plain transformers one whose token vectors are averaged: a folder or a hub name.

    Safetensors only, no code from the model's folder.
    """

    def __init__(self, path_or_name: str) -> None:
        self.name = f"st:{path_or_name}"
        cached = _find(path_or_name)
        try:
            from sentence_transformers import SentenceTransformer

            self._model = SentenceTransformer(
                path_or_name, trust_remote_code=False, local_files_only=cached, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # whatever a broken folder or a foreign format makes the libraries raise
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise _not_loaded(path_or_name, first) from None
        self.dim = int(self._model.get_embedding_dimension())
        self.about = f"Made by {path_or_name}: it measures what questions mean, as this model sees it."

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """See Embedder. A text beyond the model's length is cut there."""
        return unit_rows(self._model.encode(list(texts), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True))


def _find(path_or_name: str) -> bool:
    """Make sure that a model can be had at all, before slow libraries are loaded to retry for a minute; whether it is on
    this machine already. GlanError when it is neither here nor on a hub that answers."""
    if Path(path_or_name).expanduser().is_dir():
        return True
    if path_or_name.startswith((".", "/", "~")) or path_or_name.count("/") > 1:
        raise _not_loaded(path_or_name, "there is no such folder.")
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        if isinstance(huggingface_hub.try_to_load_from_cache(path_or_name, "config.json"), str):
            return True
        if constants.HF_HUB_OFFLINE:
            raise _not_loaded(path_or_name, "it is not on this machine, and the model hub may not be asked (HF_HUB_OFFLINE).")
        huggingface_hub.HfApi().model_info(path_or_name, timeout=HUB_SECONDS)
    except HFValidationError:
        raise _not_loaded(path_or_name, "that is neither a folder nor a name of the model hub.") from None
    except HfHubHTTPError:
        raise _not_loaded(path_or_name, "the model hub does not have it, or not for you.") from None
    except GlanError:
        raise
    except Exception:  # of the hub's HTTP library, which is not ours to know
        raise _not_loaded(path_or_name, "it is not on this machine, and the model hub can't be reached.") from None
    return False


def _not_loaded(path_or_name: str, why: str) -> GlanError:
    return GlanError(
        f"The model {path_or_name!r} cannot be loaded: {why} Give a folder with config, tokenizer and safetensors weights, "
        "a name that the model hub knows, or the embedder 'words', which needs no model."
    )


def unit_rows(rows: "np.ndarray") -> "np.ndarray":
    """Rows as float32 of length 1; one that is all zero or not finite becomes the first axis."""
    import numpy as np

    rows = np.array(rows, dtype=np.float32, ndmin=2)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = ~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0))
    rows[bad], lengths[bad] = np.eye(1, rows.shape[1], dtype=np.float32), 1
    return rows / lengths


def _word_axes():
    """A sparse random projection (Kane, Nelson 2014, arXiv 1012.1577): each hashed word goes to eight axes, up or down."""
    import numpy as np
    from scipy.sparse import csr_matrix

    draw = np.random.RandomState(20240220)  # its numbers are promised never to change, those of newer generators are not
    axes = draw.randint(0, WORD_DIMS, WORD_FEATURES * WORD_AXES)
    signs = (draw.randint(0, 2, WORD_FEATURES * WORD_AXES) * 2 - 1).astype(np.float32)
    starts = np.arange(0, len(axes) + 1, WORD_AXES)
    return csr_matrix((signs, axes, starts), shape=(WORD_FEATURES, WORD_DIMS))
