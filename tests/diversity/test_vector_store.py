"""Tests for the vector store: appending, reading, and consistency after a kill."""

import numpy as np
import pytest

from glan_core.diversity.embedders import unit_rows
from glan_core.diversity.vector_store import (
    MATRIX,
    SEQS,
    VectorWriter,
    count_vectors,
    list_vectors,
    read_vectors,
    vector_folder,
)
from glan_core.errors import GlanError


class Fake:
    """Embedder that returns the same vector for every text."""

    about = "Made up."

    def __init__(self, name: str = "st:some/model", dim: int = 4, axis: int = 0) -> None:
        self.name, self.dim, self.axis = name, dim, axis

    def embed(self, texts):
        return np.tile(np.eye(self.dim, dtype=np.float32)[self.axis], (len(texts), 1))


def rows(n: int, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(n, 4)))


def test_vectors_are_found_by_their_questions_and_the_last_one_counts(ws):
    x = rows(6)
    writer = VectorWriter(vector_folder(ws, "st:some/model"), Fake())
    writer.append([1, 2, 5], x[:3])
    writer.append([7, 2], x[3:5])
    found = read_vectors(writer.folder)
    assert found.seqs.tolist() == [1, 2, 5, 7] and found.last_seq == 7 and len(found) == 4
    assert found.rows(slice(None)) == pytest.approx(x[[0, 4, 2, 3]], abs=1e-3)
    assert found.rows(np.array([3, 1])) == pytest.approx(x[[3, 4]], abs=1e-3)
    assert found.matrix.dtype == np.float16 and isinstance(found.matrix, np.memmap)


def test_a_kill_at_any_byte_leaves_whole_vectors_and_the_next_writer_goes_on(ws):
    x, folder = rows(3), vector_folder(ws, "st:some/model")
    VectorWriter(folder, Fake()).append([1, 2], x[:2])
    whole = [(folder / name).read_bytes() for name in (MATRIX, SEQS)]
    VectorWriter(folder, Fake()).append([3], x[2:])
    after = [(folder / name).read_bytes() for name in (MATRIX, SEQS)]
    cuts = [(n, 0) for n in range(9)] + [(8, n) for n in range(9)]  # the vector is written before its seq
    for vector, number in cuts:
        (folder / MATRIX).write_bytes(after[0][: len(whole[0]) + vector])
        (folder / SEQS).write_bytes(after[1][: len(whole[1]) + number])
        expected = [1, 2, 3] if number == 8 else [1, 2]
        assert read_vectors(folder).seqs.tolist() == expected
        VectorWriter(folder, Fake()).append([9], x[:1])
        found = read_vectors(folder)
        assert found.seqs.tolist() == [*expected, 9]
        assert found.rows(slice(None)) == pytest.approx(x[[*range(len(expected)), 0]], abs=1e-3)


@pytest.mark.parametrize("other", [Fake("openai:embed", dim=5), Fake("openai:embed", axis=1)])
def test_another_model_by_the_same_name_is_refused(ws, other):
    folder = vector_folder(ws, "openai:embed")
    VectorWriter(folder, Fake("openai:embed")).append([1], rows(1))
    with pytest.raises(GlanError, match="another model has the same name"):
        VectorWriter(folder, other)
    assert len(read_vectors(folder)) == 1


def test_words_of_an_older_release_are_made_anew(ws):
    folder = vector_folder(ws, "words")
    VectorWriter(folder, Fake("words")).append([1], rows(1))
    VectorWriter(folder, Fake("words", axis=1))
    assert read_vectors(folder) is None


def test_embedders_have_folders_of_their_own(ws):
    assert list_vectors(ws) == [] and read_vectors(vector_folder(ws, "words")) is None and count_vectors(ws, "words") == 0
    VectorWriter(vector_folder(ws, "words"), Fake("words")).append([1], rows(1))
    VectorWriter(vector_folder(ws, "st:/my/model"), Fake("st:/my/model")).append([1, 2], rows(2))
    assert [info.embedder for info in list_vectors(ws)] == ["st:/my/model", "words"]
    assert count_vectors(ws, "st:/my/model") == 2 and count_vectors(ws, "words") == 1
