"""Tests for diversity metrics: definitions, sensitivity to duplicates, and confidence intervals."""

import random
import zlib
from itertools import islice

import numpy as np
import pytest
from support.diversity_rows import TOPICS, Steps, add_pairs, add_topics, question

from glan_core.diversity import metrics, nearest_neighbors
from glan_core.diversity.embedders import WordEmbedder, unit_rows
from glan_core.diversity.metric_job import compute_metrics
from glan_core.diversity.metric_store import METRICS, OVERALL, MetricValue, list_metrics, read_metrics
from glan_core.diversity.saturation import novelty_curve, saturation
from glan_core.diversity.scoped_metrics import Scorer, text_values
from glan_core.diversity.settings import MetricSettings
from glan_core.errors import GlanError
from glan_core.homework.review import review
from glan_core.workspace import homework_rows


def some_rows(n: int = 60, dim: int = 12, seed: int = 1) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)))


def test_mean_distance_and_nearest_similarity_are_their_plain_definitions():
    x = some_rows()
    cosines = x @ x.T
    apart = [1 - cosines[i, j] for i in range(len(x)) for j in range(len(x)) if i != j]
    assert metrics.mean_distance(x) == pytest.approx(np.mean(apart), abs=1e-6)
    np.fill_diagonal(cosines, -1)
    assert metrics.nearest_similarity(x) == pytest.approx(cosines.max(axis=1), abs=1e-6)
    assert metrics.mean_distance(x[:1]) == 0 and len(metrics.nearest_similarity(x[:1])) == 0


def test_vendi_score_is_the_exponential_of_the_entropy_of_the_kernel():
    x = some_rows(40, 64)
    values = np.linalg.eigvalsh((x @ x.T).astype(np.float64) / len(x))
    values = values[values > 0]
    assert metrics.vendi_score(x) == pytest.approx(np.exp(-np.sum(values * np.log(values))), rel=1e-4)


def test_vendi_score_has_its_closed_form_on_simple_kernels():
    equal = np.tile(np.eye(1, 8, dtype=np.float32), (20, 1))
    assert metrics.vendi_score(equal) == pytest.approx(1)
    assert metrics.vendi_score(np.eye(9, dtype=np.float32)) == pytest.approx(9)
    groups = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    assert metrics.vendi_score(groups) == pytest.approx(4)
    uneven = np.repeat(np.eye(2, dtype=np.float32), [3, 1], axis=0)
    assert metrics.vendi_score(uneven) == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))
    n, r = 6, 0.4  # all pairs at the same cosine: one eigenvalue (1 + (n-1) r) / n, the others (1 - r) / n
    x = np.linalg.cholesky(np.full((n, n), r) + (1 - r) * np.eye(n))
    first, rest = (1 + (n - 1) * r) / n, (1 - r) / n
    assert metrics.vendi_score(x) == pytest.approx(np.exp(-first * np.log(first) - (n - 1) * rest * np.log(rest)))


def test_novelsum_is_its_plain_definition():
    x = np.concatenate([some_rows(30, 6), some_rows(30, 6)[:5]])  # five duplicated rows
    distinct = np.unique(x, axis=0)
    root = {}
    for row in distinct:
        apart = sorted(1 - float(row @ other) for other in distinct if other is not row and (other != row).any())
        root[row.tobytes()] = (1 / sum(apart[:10])) ** 0.5
    mean = np.mean(list(root.values()))
    plain = []
    for i in range(len(x)):
        near = sorted((max(0, 1 - float(x[i] @ x[j])), j) for j in range(len(x)) if j != i)
        weights = [1 / rank for rank in range(1, len(x))]
        plain.append(sum(w * d * root[x[j].tobytes()] / mean for w, (d, j) in zip(weights, near)) / sum(weights))
    assert metrics.novelsum(x) == pytest.approx(plain, abs=1e-4)


def test_entropy_and_evenness_are_their_plain_definitions():
    counts = np.array([5, 3, 0, 2])
    shares = np.array([0.5, 0.3, 0.2])
    plain = -(shares * np.log(shares)).sum() / np.log(4)
    assert metrics.evenness(counts) == pytest.approx(plain)
    assert metrics.cluster_entropy(counts, 0.8) == pytest.approx(0.8 * plain)
    assert metrics.evenness([7, 7, 7]) == pytest.approx(1) and metrics.evenness([7, 0]) == metrics.evenness([3]) == 0


def test_distinct_n_and_compression_are_their_plain_definitions():
    texts = ["The cat sat. The cat ran.", "A dog", "the CAT sat", ""]
    for n in (1, 2, 3):
        words = [text.lower().replace(".", "").split() for text in texts]
        grams = [tuple(w[i : i + n]) for w in words for i in range(len(w) - n + 1)]
        assert metrics.distinct_n(metrics.ngrams(texts, n)) == pytest.approx(len(set(grams)) / len(grams))
    raw = "\n".join(sorted(texts)).encode()
    assert metrics.compression_ratio(texts) == len(raw) / len(zlib.compress(raw, 6))
    assert metrics.distinct_n([]) == 0 and metrics.compression_ratio([]) == 1


@pytest.mark.parametrize("k", [1, 5])
def test_nearest_neighbours_are_those_of_a_full_sort(k):
    rows, queries = some_rows(1000, 16), some_rows(20, 16, seed=2)
    places, scores = nearest_neighbors.nearest(queries, rows, k)
    expected = np.argsort(-(queries @ rows.T), axis=1)[:, :k]
    assert (places == expected).all()
    assert scores == pytest.approx(np.take_along_axis(queries @ rows.T, expected, axis=1))


def test_new_ground_is_the_distance_to_the_nearest_earlier_row(monkeypatch):
    monkeypatch.setattr(nearest_neighbors, "BLOCK", 16)
    x = some_rows(70, 8)
    x[50] = x[3]
    plain = [1.0] + [1 - max(float(x[i] @ x[j]) for j in range(i)) for i in range(1, len(x))]
    assert nearest_neighbors.nearest_earlier(x.__getitem__, len(x)) == pytest.approx(plain, abs=1e-6)
    some = np.array([2, 20, 50, 69])
    assert nearest_neighbors.nearest_earlier(x.__getitem__, len(x), some) == pytest.approx([plain[n] for n in some], abs=1e-6)


def test_of_many_rows_new_ground_still_sees_repetitions_that_follow_at_once(monkeypatch):
    monkeypatch.setattr(nearest_neighbors, "BLOCK", 16)
    monkeypatch.setattr(nearest_neighbors, "MOST_EARLIER", 10)
    x = np.repeat(some_rows(40, 8), 2, axis=0)
    assert nearest_neighbors.nearest_earlier(x.__getitem__, len(x))[1::2] == pytest.approx(0, abs=1e-6)


def _dealt(rng, words):
    while True:
        yield from rng.sample(words, len(words))


@pytest.fixture(scope="module")
def distinct_and_repeated():
    """Metrics of 10,000 distinct questions, and of 1,000 of them repeated ten times."""
    rng = random.Random(5)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("rn", "st", "lp", "nd", "x")]
    decks = [_dealt(rng, rng.sample(words, 40)) for _ in range(20)]  # stratified: every thousand has the same word frequencies
    texts = [f"What is {' '.join(islice(decks[n % 20], 14))} {rng.randrange(10**6)}?" for n in range(10_000)]
    repeated = [text for text in texts[:1000] for _ in range(10)]
    found, tenths = [], []
    for some in (texts, repeated):
        x = WordEmbedder().embed(some)
        tenths = tenths or [metrics.mean_distance(np.repeat(x[n : n + 1000], 10, axis=0)) for n in range(0, 10_000, 1000)]
        scorer = Scorer(x.__getitem__, {"": np.arange(len(x))}, {}, sample=1000, seed=0)
        (scope,) = scorer.run()
        found.append(scope.values | text_values([some[n] for n in scope.sample], sampled=scope.sampled, seed=0))
    # this metric depends more on which thousand is repeated than on the repetition, so it is averaged over all ten
    found[1]["mean_distance"] = MetricValue(float(np.mean(tenths)), n=10_000)
    return found


OF_TAXONOMY = ("concept_coverage", "evenness")  # based on the taxonomy, not on rows


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, of in METRICS.items() if of.better and name not in OF_TAXONOMY])
def test_rows_repeated_ten_times_are_less_diverse_on_every_measure(distinct_and_repeated, name):
    distinct, repeated = (values[name].value for values in distinct_and_repeated)
    assert repeated < distinct if METRICS[name].better == "higher" else repeated > distinct


def test_a_sample_says_how_sure_it_is_and_all_rows_need_not():
    x, texts = some_rows(3000, 16), [f"What is number {n} of {n % 7}?" for n in range(3000)]
    exact = metrics.nearest_similarity(x).mean()
    values = {}
    for sample in (500, 3000):
        scorer = Scorer(x.__getitem__, {"": np.arange(3000)}, {}, sample, seed=3)
        (scope,) = scorer.run()
        values[sample] = scope.values | text_values([texts[n] for n in scope.sample], sampled=scope.sampled, seed=3)
    some, all_rows = values[500]["nearest_similarity"], values[3000]["nearest_similarity"]
    assert some.n == 500 and some.low < exact < some.high
    assert all_rows.value == pytest.approx(exact, abs=1e-6) and (all_rows.low, all_rows.high) == (None, None)
    assert values[500]["distinct_2"].low < values[500]["distinct_2"].value < values[500]["distinct_2"].high
    assert values[3000]["distinct_2"].low is None and values[500]["mean_distance"].low is None
    assert values[500]["mean_distance"].value == pytest.approx(metrics.mean_distance(x), abs=1e-6)


def test_a_field_and_the_whole_are_measured_as_if_alone():
    x = some_rows(300, 10)
    leaves = {"a": np.arange(0, 100), "b": np.arange(100, 220), "c": np.arange(220, 300)}
    scorer = Scorer(x.__getitem__, leaves, {"a": ["ab", ""], "b": ["ab", ""], "c": [""]}, 1000, seed=0)
    assert [scope.id for scope in scorer.run()] == ["a", "b", "c", "ab", ""]
    for id, places in (*leaves.items(), ("ab", np.arange(220)), ("", np.arange(300))):
        values, alone = scorer.scopes[id].values, x[places]
        assert values["mean_distance"].value == pytest.approx(metrics.mean_distance(alone), abs=1e-6)
        assert values["vendi"].value == pytest.approx(metrics.vendi_score(alone), rel=1e-4)
        assert values["nearest_similarity"].value == pytest.approx(metrics.nearest_similarity(alone).mean(), abs=1e-6)
        assert values["novelsum"].value == pytest.approx(metrics.novelsum(alone).mean(), abs=1e-6)


def test_a_curve_says_whether_new_questions_cover_new_ground():
    curve = novelty_curve(np.concatenate([[1], np.full(100, 0.8), np.full(100, 0.1)]))
    assert len(curve) == 20 and curve[0] == (11, pytest.approx(0.8)) and curve[-1] == (201, pytest.approx(0.1))
    full = saturation(curve)
    assert full.saturated and full.ratio == pytest.approx(1 / 8) and full.verdict == "little new ground"
    assert saturation(novelty_curve(np.full(100, 0.5))).verdict == "new ground"
    assert saturation(novelty_curve(np.linspace(0.9, 0.35, 100))).verdict == "slowing"
    assert saturation(novelty_curve(np.full(100, 0.02))).saturated  # all duplicate the first
    assert saturation([]).verdict == saturation(novelty_curve(np.full(25, 0.5))).verdict == "too few to tell"


def test_a_run_measures_what_is_kept_by_field_and_discipline(ws):
    add_topics(ws, 40)
    rng = random.Random(9)
    once = question("music", rng)
    add_pairs(ws, [("music", once, "Yes.")] * 40)
    said = compute_metrics(ws, MetricSettings(embedder="words"), Steps())
    assert said.startswith("Measured 160 questions in 3 disciplines.") and "not what they mean" in said
    found = read_metrics(ws, "words")
    assert list_metrics(ws) == ["words"] and found.number == 160 and found.up_to == homework_rows.last_seq(ws.db)
    assert set(found.scopes) == {OVERALL, *TOPICS, "arts", "formal-sciences", "natural-sciences"}
    assert found.scopes["music"]["near_share"].value == 50 and found.scopes["mathematics"]["near_share"].value == 0
    assert found.scopes["arts"]["vendi"] == found.scopes["music"]["vendi"]
    assert found.scopes[OVERALL]["evenness"].value == pytest.approx(metrics.evenness([40, 80, 40, 0, 0]))
    assert saturation(found.curves["music"]).saturated and not saturation(found.curves["mathematics"]).saturated
    assert sum(found.histograms["nearest"][OVERALL].counts) == 160
    assert all(set(values) <= set(METRICS) for values in found.scopes.values())

    review(ws, homework_rows.pairs_page(ws.db, homework_rows.PairFilter(disciplines=("music",)))[0].question.id, "reject", "me")
    compute_metrics(ws, MetricSettings(embedder="words"), Steps())
    assert read_metrics(ws, "words").scopes["music"]["mean_distance"].n == 79
    compute_metrics(ws, MetricSettings(embedder="words", rows="all"), Steps())
    assert read_metrics(ws, "words").scopes["music"]["mean_distance"].n == 80


def test_nothing_to_measure_is_said(ws):
    with pytest.raises(GlanError, match="has no questions"):
        compute_metrics(ws, MetricSettings(embedder="words"), Steps())
    assert read_metrics(ws, "words") is None
