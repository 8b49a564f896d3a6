"""Tests for embedders: hashed words, local models, endpoints, and errors."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from glan_core.diversity import openai_embedder
from glan_core.diversity.embedders import open_embedder
from glan_core.errors import GlanError

TEXTS = [
    "What is a prime number?",
    "Explain what a prime number is.",
    "How is bread baked?",
    "物理学は何ですか",
    "what is it",
    "",
]


def test_words_make_the_same_unit_vector_of_a_text_whatever_the_others_are():
    embedder = open_embedder("words")
    x = embedder.embed(TEXTS)
    assert x.dtype == np.float32 and x.shape == (6, embedder.dim) and np.linalg.norm(x, axis=1) == pytest.approx(1)
    assert (embedder.embed(TEXTS[2:3]) == x[2]).all() and (open_embedder("words").embed(TEXTS[::-1])[::-1] == x).all()
    assert x[0] @ x[1] > 0.5 > 0.2 > x[0] @ x[2]
    assert abs(x[4] @ x[5]) < 0.2  # a question of stopwords only still has a distinct vector
    assert "not what they mean" in embedder.about


def test_without_a_hub_the_automatic_one_falls_back_to_words_and_says_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    embedder = open_embedder("auto")
    assert embedder.name == "words" and "all-MiniLM-L6-v2 could not be loaded" in embedder.about


@pytest.mark.parametrize("spec, why", [
    ("st:some/model", "not stored locally"), ("st:/no/such/folder", "folder does not exist"), ("st:a b c", "neither a folder nor a valid"),
])  # fmt: skip
def test_a_model_that_cannot_be_had_is_said_at_once(monkeypatch, spec, why):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("A connection was attempted."))
    with pytest.raises(GlanError, match=why):
        open_embedder(spec)


def test_a_hub_that_is_not_reached_is_not_waited_for(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    with pytest.raises(GlanError, match=r"cannot be reached.*'words', which needs no model"):
        open_embedder("st:some/model")


def test_a_folder_with_a_plain_transformers_model_is_an_embedder(tmp_path):
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "a", "prime", "number", "bread"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(str(tmp_path / "vocab.txt"))
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **size)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    embedder = open_embedder(f"st:{tmp_path}")
    x = embedder.embed(["what is a prime", "bread", "what is a prime"])
    assert embedder.dim == 16 and x.shape == (3, 16) and x.dtype == np.float32
    assert np.linalg.norm(x, axis=1) == pytest.approx(1) and x[0] == pytest.approx(x[2]) and x[0] @ x[1] < 0.9999
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(GlanError, match="cannot be loaded"):
        open_embedder(f"st:{tmp_path}")


@pytest.fixture
def endpoint(monkeypatch):
    """Fake embeddings endpoint; `say(nth, texts)` returns a status, or None for vectors."""
    monkeypatch.setattr(openai_embedder, "BACKOFF", 0.001)

    class Endpoint(BaseHTTPRequestHandler):
        seen, headers_seen, say = [], [], None

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            nth = len(Endpoint.seen)
            Endpoint.seen.append((self.path, body))
            Endpoint.headers_seen.append(dict(self.headers))
            status, data = (Endpoint.say and Endpoint.say(nth, body["input"])) or (200, vectors(body["input"]))
            raw = json.dumps(data).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield Endpoint
    server.shutdown()
    server.server_close()


def vectors(texts) -> dict:
    """Return vectors (length of the text, 3) in shuffled order."""
    data = [{"index": n, "embedding": [len(text), 3.0]} for n, text in enumerate(texts)]
    return {"data": data[::-1]}


def test_an_endpoint_is_asked_in_batches_and_vectors_come_back_in_order(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123456")
    embedder = open_embedder("openai:small", endpoint.url)
    texts = ["x" * n for n in range(1, 201)]
    x = embedder.embed(texts)
    assert embedder.dim == 2 and embedder.name == "openai:small"
    assert x[:, 0] / x[:, 1] == pytest.approx(np.arange(1, 201) / 3, rel=1e-5)
    assert [path for path, _ in endpoint.seen] == [
        "/v1/embeddings"
    ] * 5  # one request to probe the dimension, then four batches
    assert all(body["model"] == "small" for _, body in endpoint.seen)
    assert endpoint.headers_seen[0]["Authorization"] == "Bearer sk-secret-123456"


def test_a_busy_or_failing_endpoint_is_asked_again(endpoint):
    endpoint.say = lambda nth, texts: [(429, {}), (503, {}), (200, {"data": []}), None][min(nth, 3)]
    assert open_embedder("openai:small", endpoint.url).dim == 2
    assert len(endpoint.seen) == 4


def test_vectors_are_read_whichever_status_of_success_they_have(endpoint):
    endpoint.say = lambda nth, texts: (201, vectors(texts))
    assert open_embedder("openai:small", endpoint.url).dim == 2


def test_what_no_retry_mends_ends_at_once_and_no_key_is_shown(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123456")
    endpoint.say = lambda nth, texts: (401, {"error": {"message": "Bad key sk-secret-123456"}})
    with pytest.raises(GlanError, match="rejected the API key") as caught:
        open_embedder("openai:small", endpoint.url)
    assert "secret" not in str(caught.value) and len(endpoint.seen) == 1


def test_an_endpoint_that_stays_away_is_given_up(endpoint):
    endpoint.say = lambda nth, texts: (500, {})
    with pytest.raises(GlanError, match="after 7 attempts"):
        open_embedder("openai:small", endpoint.url)
    with pytest.raises(GlanError, match="OPENAI_API_KEY is not set"):
        open_embedder("openai:small")


def test_an_endpoint_that_changes_the_dimension_is_refused(endpoint):
    embedder = open_embedder("openai:small", endpoint.url)

    def longer(nth, texts):
        return 200, {"data": [{"index": n, "embedding": [1.0] * (3 if len(texts) == 1 else 2)} for n in range(len(texts))]}

    endpoint.say = longer
    for texts in (["x"], ["x"] * (openai_embedder.BATCH + 1)):  # in all batches, and in one of them
        with pytest.raises(GlanError, match=r"different dimensions \(2, 3\)"):
            embedder.embed(texts)


def test_a_body_larger_than_its_vectors_is_not_read_to_its_end(endpoint, monkeypatch):
    monkeypatch.setattr(openai_embedder, "TRIES", 1)
    monkeypatch.setattr(openai_embedder, "VECTOR_BYTES", 100)
    monkeypatch.setattr(openai_embedder, "ENVELOPE", 1000)
    endpoint.say = lambda nth, texts: (200, vectors(texts) | {"padding": "x" * 50_000_000})
    with pytest.raises(GlanError, match="more than 1 vector can have"):
        open_embedder("openai:small", endpoint.url)
