"""Embedders: turn questions into vectors with a local model, an endpoint, or hashed words.

    embedder = open_embedder("auto")
    embedder.embed(["What is a prime number?"])  # (1, dim) float32, unit length

Similarities of different embedders are not comparable; `about` says what the distances of an embedder mean.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glan_core.diversity.settings import AUTO, DEFAULT_MODEL, WORDS, check_embedder
from glan_core.diversity.terms import content_terms, terms
from glan_core.errors import GlanError
from glan_core.io.packaged_models import embedding_folder

if TYPE_CHECKING:
    import numpy as np

WORD_FEATURES = 2**18  # hash buckets; collisions are rare enough to ignore
WORD_DIMS = 384
WORD_AXES = 8  # of the 384 dimensions per word
BATCH = 32
HUB_SECONDS = 3.0


class Embedder(Protocol):
    """Turns texts into unit vectors.

    Attributes:
        name: Identifier under which vectors are stored.
        dim: Vector dimension.
        about: One sentence about what the distances mean.
    """

    name: str
    dim: int
    about: str

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Return `(len(texts), dim) float32` unit vectors, deterministic for a given text."""
        ...


def open_embedder(spec: str, base_url: str | None = None) -> Embedder:
    """Open an embedder.

    Args:
        spec: Embedder specification (see `settings.EmbedderSettings`). 'auto' never fails.
        base_url: Endpoint of an 'openai:' embedder.

    Raises:
        GlanError: If the embedder is not available; raised within seconds, also offline.
    """
    kind, _, rest = check_embedder(spec).partition(":")
    if spec == AUTO:
        return _automatic()
    if spec == WORDS:
        return WordEmbedder()
    if kind == "openai":
        from glan_core.diversity.openai_embedder import OpenAIEmbedder

        return OpenAIEmbedder(rest.strip(), base_url)
    return SentenceEmbedder(rest.strip())


def _automatic() -> Embedder:
    try:
        return SentenceEmbedder(DEFAULT_MODEL)
    except GlanError:
        return WordEmbedder(f" {DEFAULT_MODEL} could not be loaded.")


class WordEmbedder:
    """Hashed words, randomly projected to 384 dimensions: needs no model and captures no meaning.

    Nothing is fitted, so the vector of a text never depends on other texts.
    """

    name, dim = WORDS, WORD_DIMS

    def __init__(self, why: str = "") -> None:
        from sklearn.feature_extraction.text import HashingVectorizer

        self.about = f"Based on words only: it measures which words questions share, not what they mean.{why}"
        self._content = HashingVectorizer(analyzer=content_terms, n_features=WORD_FEATURES, dtype="float32")
        self._every = HashingVectorizer(analyzer=terms, n_features=WORD_FEATURES, dtype="float32")
        self._axes = _word_axes()

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Embed texts; a text of stopwords only is embedded by those, and a text without words gets a default vector."""
        rows = (self._content.transform(texts) @ self._axes).toarray()
        if bare := [n for n, row in enumerate(rows) if not row.any()]:
            rows[bare] = (self._every.transform([texts[n] for n in bare]) @ self._axes).toarray()
        return unit_rows(rows)


class SentenceEmbedder:
    """A sentence-transformers model, or a transformers model with mean pooling, from a folder or the Hub.

    Only safetensors weights are loaded, and no code from the model repository is executed.
    """

    def __init__(self, path_or_name: str) -> None:
        self.name = f"st:{path_or_name}"
        place = path_or_name
        if path_or_name == DEFAULT_MODEL and (packaged := embedding_folder()) is not None:
            place = str(packaged)
        cached = _find(place)
        try:
            from sentence_transformers import SentenceTransformer

            self._model = SentenceTransformer(
                place, trust_remote_code=False, local_files_only=cached, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # libraries raise many exception types for broken or unknown model folders
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise _not_loaded(path_or_name, first) from None
        dimension = self._model.get_embedding_dimension()
        if dimension is None:
            raise _not_loaded(path_or_name, "it does not state its embedding dimension.")
        self.dim = int(dimension)
        self.about = f"Embedded with {path_or_name}: it measures similarity of meaning as this model sees it."

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Embed texts, truncated to the maximum length of the model."""
        return unit_rows(self._model.encode(list(texts), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True))


def _find(path_or_name: str) -> bool:
    """Return whether a model is stored locally, without loading slow libraries that retry for a minute.

    Raises:
        GlanError: If the model is neither stored locally nor available on the Hub.
    """
    if Path(path_or_name).expanduser().is_dir():
        return True
    if path_or_name.startswith((".", "/", "~")) or path_or_name.count("/") > 1:
        raise _not_loaded(path_or_name, "the folder does not exist.")
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        if isinstance(huggingface_hub.try_to_load_from_cache(path_or_name, "config.json"), str):
            return True
        if constants.HF_HUB_OFFLINE:
            raise _not_loaded(path_or_name, "it is not stored locally, and access to the Hub is disabled (HF_HUB_OFFLINE).")
        huggingface_hub.HfApi().model_info(path_or_name, timeout=HUB_SECONDS)
    except HFValidationError:
        raise _not_loaded(path_or_name, "it is neither a folder nor a valid Hub model ID.") from None
    except HfHubHTTPError:
        raise _not_loaded(path_or_name, "it does not exist on the Hub, or you have no access to it.") from None
    except GlanError:
        raise
    except Exception:  # the exception types of the Hub's HTTP client are not part of its API
        raise _not_loaded(path_or_name, "it is not stored locally, and the Hub cannot be reached.") from None
    return False


def _not_loaded(path_or_name: str, why: str) -> GlanError:
    return GlanError(
        f"Model {path_or_name!r} cannot be loaded: {why} Use a folder with config, tokenizer and safetensors weights, a Hub "
        "model ID, or the embedder 'words', which needs no model."
    )


def unit_rows(rows: "np.ndarray") -> "np.ndarray":
    """Normalize rows to unit length as float32; zero or non-finite rows become the first unit vector."""
    import numpy as np

    rows = np.array(rows, dtype=np.float32, ndmin=2)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = ~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0))
    rows[bad], lengths[bad] = np.eye(1, rows.shape[1], dtype=np.float32), 1
    return rows / lengths


def _word_axes():
    """Return a sparse random projection that maps each hashed word to eight signed axes.

    Source: Kane, Nelson, 2014, arXiv 1012.1577.
    """
    import numpy as np
    from scipy.sparse import csr_matrix

    # RandomState streams are stable across NumPy versions. Change the seed with the segmentation into words: stored vectors
    # are then recognized as outdated and computed again.
    draw = np.random.RandomState(20240221)
    axes = draw.randint(0, WORD_DIMS, WORD_FEATURES * WORD_AXES)
    signs = (draw.randint(0, 2, WORD_FEATURES * WORD_AXES) * 2 - 1).astype(np.float32)
    starts = np.arange(0, len(axes) + 1, WORD_AXES)
    return csr_matrix((signs, axes, starts), shape=(WORD_FEATURES, WORD_DIMS))
