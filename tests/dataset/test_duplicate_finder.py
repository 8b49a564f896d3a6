"""Near-duplicates by value: similarities, thresholds on both sides, candidate limits, tags and messages."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from support.curriculum import add_pairs
from support.diversity_rows import Steps

from glan_core.dataset import duplicate_finder, near_duplicate_job, shingle_signatures
from glan_core.dataset.duplicate_comparison import match_or_keep
from glan_core.dataset.duplicate_finder import (
    BucketedRows,
    Buckets,
    Duplicate,
    DuplicateFinder,
    FileArray,
    Kept,
    find_duplicates,
)
from glan_core.dataset.near_duplicate_job import merge_semantic, tag_duplicates
from glan_core.dataset.settings import NearDuplicateSettings
from glan_core.homework.review import review
from glan_core.workspace import homework_rows, tag_rows

WORDS = [f"w{n}" for n in range(60)]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def changed(number: int) -> str:
    """Return 40 words, the last `number` of which are others."""
    return " ".join([*WORDS[: 40 - number], *(f"x{n}" for n in range(number))])


def found(*texts: str, threshold: float = 0.7) -> list[Duplicate]:
    return find_duplicates([list(enumerate(texts, start=1))], threshold)


# ------------------------------------------------------------------------------------------------------------- similarity


@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_the_score_is_the_jaccard_similarity_of_three_word_shingles(number):
    base, other = changed(0), changed(number)
    assert jaccard(base, other) == (38 - number) / (38 + number)
    assert found(base, other, threshold=0.6) == [Duplicate(2, 1, "near", pytest.approx((38 - number) / (38 + number)))]


def test_the_threshold_is_included():
    base, other = changed(0), changed(2)  # 36 / 40
    assert len(found(base, other, threshold=0.9)) == 1 and found(base, other, threshold=0.9000001) == []


def test_the_most_similar_row_is_named_and_the_earliest_of_equal_ones():
    assert [(r.seq, r.of) for r in found(changed(6), changed(2), changed(0), threshold=0.8)] == [(3, 2)]
    left, right = " ".join(["y", *WORDS[1:40]]), " ".join([*WORDS[:39], "y"])  # both differ from the base by one shingle
    assert found(left, right, changed(0), threshold=0.92) == [Duplicate(3, 1, "near", pytest.approx(37 / 39))]
    assert found(right, left, changed(0), threshold=0.92) == [Duplicate(3, 1, "near", pytest.approx(37 / 39))]


@pytest.mark.parametrize(("one", "other", "same"), [
    ("a", "a", True), ("a", "b", False), ("a b", "a b", True), ("a b", "b a", False), ("a b", "a", False), ("a b c", "a b", False),
    ("a b c", "a b d", False), ("a b", "a b c", False), ("a b c", "c b a", False), ("", "", True), ("?", "?!", False),
])  # fmt: skip
def test_texts_of_one_to_three_words(one, other, same):
    assert [(r.of, r.how, r.score) for r in found(one, other, threshold=0.6)] == [(1, "exact", 1.0)] * same


def test_a_short_text_next_to_another_shares_no_shingle_with_it():
    pages = [[(1, "a b"), (2, "c d"), (3, "a b c d"), (4, "b c d")], [(5, "b"), (6, "c d")]]
    assert [(r.seq, r.of, r.how) for r in find_duplicates(pages, 0.6)] == [(6, 2, "exact")]


def test_shingles_are_those_of_each_text():
    hashes, starts = shingle_signatures.Signer()._shingles([["a", "b", "c", "d"], ["a"], ["b", "c", "d"], ["a", "b"]])
    assert starts.tolist() == [0, 2, 3, 4, 5] and len(hashes) == 5
    assert hashes[1] == hashes[3] and len(set(hashes.tolist())) == 4


def test_a_duplicate_of_a_near_duplicate_names_the_kept_row():
    base, near = changed(0), changed(2)
    assert found(base, near, near.upper()) == [
        Duplicate(2, 1, "near", pytest.approx(0.9)), Duplicate(3, 1, "near", pytest.approx(0.9)),
    ]  # fmt: skip
    assert found(near, base, near.upper(), base.upper()) == [
        Duplicate(2, 1, "near", pytest.approx(0.9)), Duplicate(3, 1, "exact", 1.0), Duplicate(4, 1, "near", pytest.approx(0.9)),
    ]  # fmt: skip


def test_pages_and_gaps_in_seq_do_not_matter():
    texts = [changed(n) for n in (0, 20, 2, 21, 39)]
    whole = [(r.seq, r.of) for r in found(*texts)]
    pages = [[(10 * (n + 1), text)] for n, text in enumerate(texts)]
    assert [(r.seq // 10, r.of // 10) for r in find_duplicates([*pages[:2], [], *pages[2:]])] == whole == [(3, 1), (4, 2)]
    assert find_duplicates([]) == find_duplicates([[]]) == []


def test_rows_counts_questions():
    with DuplicateFinder(0.7) as finder:
        finder.add([(1, "a"), (2, "b")])
        finder.add([])
        finder.add([(3, "c")])
        assert finder.rows == 3


def test_temporary_files_are_in_the_given_folder_and_closed(tmp_path):
    with DuplicateFinder(0.7, tmp_path) as finder:
        finder.add([(1, changed(0)), (2, changed(1))])
        assert len(list(finder.repeats())) == 1
        files = [array._file for array in (finder._seqs, finder._exact, finder._sizes, finder._shingles)]
        for file in files:
            if os.path.exists(link := f"/proc/self/fd/{file.fileno()}"):
                assert os.readlink(link).startswith(str(tmp_path))
        assert all(band._file.closed for band in finder._bands), "bands are grouped once"
    assert all(file.closed for file in files) and list(tmp_path.iterdir()) == []


def test_a_released_file_array_keeps_what_was_changed(tmp_path):
    with FileArray("int32", tmp_path) as array:
        array.fill((1 << 20) + 3)
        array.append(np.array([7, 8], np.int64))
        values = array.read()
        assert len(values) == (1 << 20) + 5 and values[:-2].max() == 0 and values[-2:].tolist() == [7, 8]
        values[[0, 1 << 20]] = 5, 6
        array.release()
        assert array.read()[[0, 1 << 20]].tolist() == [5, 6] and values[0] == 5
        array.close()
        assert values[1 << 20] == 6, "arrays outlive the file"


# -------------------------------------------------------------------------------------------------------------- candidates


def test_parameters_are_those_of_the_documentation():
    module = shingle_signatures
    assert (module.N, module.PERMUTATIONS, module.BANDS, module.SEED, duplicate_finder.MAX_CANDIDATES) == (3, 128, 32, 7, 200)
    rows = module.PERMUTATIONS // module.BANDS
    assert (1 - 0.7**rows) ** module.BANDS == pytest.approx(1 / 6_500, rel=0.01), "the miss rate in the documentation"


def test_band_hashes_depend_on_every_value_and_its_place():
    digests = np.arange(2 * 3 * 4, dtype=np.uint32).reshape(2, 3, 4)
    hashes = shingle_signatures._band_hashes(digests)
    assert hashes.shape == (2, 3) and hashes.dtype == np.uint32 and len(set(hashes.ravel().tolist())) == 6
    for place in range(4):
        other = digests.copy()
        other[1, 2, place] += 1
        assert (shingle_signatures._band_hashes(other) != hashes).tolist() == [[False] * 3, [False, False, True]]
    swapped = digests[:, :, ::-1]
    assert (shingle_signatures._band_hashes(swapped) != hashes).all()
    assert hashes.tolist() == BAND_HASHES


def compared(texts: list[str], buckets: list[list[int]], most: int, threshold: float = 0.6) -> tuple[dict[int, int], int]:
    """Return which row each row matches and how many were crowded, for texts in these buckets."""
    size = 1 + max(len(texts), most)
    numbers = {shingle: n for n, shingle in enumerate(sorted(set.union(*map(shingles, texts))))}
    sets = [np.array(sorted(numbers[shingle] for shingle in shingles(text)), np.uint64) for text in texts]
    offsets = np.append(0, np.cumsum([len(own) for own in sets])).astype(np.int64)
    places = np.array([size * bucket for own in buckets for bucket in own], np.int64)
    starts = np.append(0, np.cumsum([len(own) for own in buckets])).astype(np.int64)
    members = np.zeros(size * (1 + max(bucket for own in buckets for bucket in own)), np.int32)
    new = BucketedRows(np.arange(len(texts), dtype=np.int32), places, starts)
    of, _, crowded = match_or_keep(new, Kept(members, np.concatenate(sets), offsets), threshold, most)
    return {row: int(other) for row, other in enumerate(of) if other >= 0}, crowded


def test_comparisons_per_row_are_limited_and_counted():
    texts = [" ".join([*WORDS[:30], *(f"{chr(97 + row)}{n}" for n in range(14))]) for row in range(6)]  # pairwise 28 / 56
    assert found(*texts) == []
    assert compared(texts, [[1, 2, 3]] * 6, most=2) == ({}, 0), "a bucket keeps two rows, so no row has three candidates"
    assert compared(texts, [[row, row + 1, 50] for row in range(6)], most=2) == ({}, 3), (
        "rows 3, 4 and 5 have the candidates 0 and 1 of the full bucket and the row before"
    )
    assert compared(texts, [[1]] * 6, most=200, threshold=0.5) == (dict.fromkeys(range(1, 6), 0), 0), (
        "rows that match are not kept"
    )


def test_every_similar_question_repeats_the_first_in_a_full_bucket(monkeypatch):
    monkeypatch.setattr(duplicate_finder, "MAX_CANDIDATES", 2)
    texts = [" ".join([*WORDS[:30], *(f"{chr(97 + row)}{n}" for n in range(2))]) for row in range(6)]
    assert [(r.seq, r.of) for r in found(*texts)] == [(seq, 1) for seq in range(2, 7)]


def test_candidates_with_most_shared_buckets_are_compared_first():
    texts = [changed(1), changed(10), changed(0)]  # similarities with the last: 37 / 39 and 28 / 48
    assert compared(texts, [[0, 1, 2], [2, 3, 4], [0, 1, 3]], most=1, threshold=0.7) == ({2: 0}, 1)
    assert compared(texts, [[0, 1, 2], [2, 3, 4], [0, 3, 4]], most=1, threshold=0.7) == ({}, 1), (
        "the one compared is too different"
    )
    assert compared(texts, [[0, 1, 2], [2, 3, 4], [0, 3]], most=1, threshold=0.7) == ({2: 0}, 1), "the earlier of equal ones"
    assert compared(texts, [[0, 1, 2], [2, 3, 4], [0, 3, 4]], most=2, threshold=0.7) == ({2: 0}, 0)


def test_shingles_that_repeat_count_once():
    words = ["to", "be", "or", "not", "to", "be", "or", "not", "to", "be"]
    one, other = " ".join(words), " ".join([*words, "again"])
    assert found(one, other, threshold=0.6) == [Duplicate(2, 1, "near", pytest.approx(4 / 5))] and jaccard(one, other) == 4 / 5


def grouped(bands: np.ndarray, own: list[int], low: int = 0, high: int = 5) -> tuple[list, list, Buckets]:
    """Return rows, the groups of rows with a common bucket, and the buckets."""

    def array(dtype: str) -> FileArray:
        return FileArray(dtype, None)

    files = [array("uint32") for _ in bands.T]
    for file, hashes in zip(files, bands.T, strict=True):
        file.append(hashes)
    buckets = Buckets(files, np.array(own, np.int32), array)
    rows, places, starts = buckets.between(low, high)
    groups: dict[int, list[int]] = {}
    for nth, row in enumerate(rows.tolist()):
        for place in places[starts[nth] : starts[nth + 1]].tolist():
            groups.setdefault(place, []).append(row)
    return rows.tolist(), [(place, groups[place]) for place in sorted(groups)], buckets


def test_buckets_are_shared_bands(monkeypatch):
    bands = np.tile(np.arange(32), (5, 1)) + 100 * np.arange(5)[:, None]
    bands[[1, 3], 0] = 7
    bands[[0, 4], 31] = 8
    bands[[1, 2], 31] = 9
    rows, groups, buckets = grouped(bands, [0, 1, 2, 3, 4])
    assert rows == [0, 1, 2, 3, 4] and groups == [(0, [1, 3]), (3, [0, 4]), (6, [1, 2])] and buckets.size == 9
    assert grouped(bands, [0, 1, 2, 3, 4], 1, 3)[:2] == ([1, 2], [(0, [1]), (6, [1, 2])])
    rows, groups, buckets = grouped(bands, [1, 2, 3])  # without rows 0 and 4
    assert rows == [1, 2, 3] and groups == [(0, [1, 3]), (3, [1, 2])] and buckets.size == 6
    assert grouped(bands, [0, 2, 3])[2].size == 0 and grouped(bands, [0, 2, 3])[0] == []
    bands[:, 0] = 7
    monkeypatch.setattr(duplicate_finder, "MAX_CANDIDATES", 2)
    assert grouped(bands, [0, 1, 2, 3, 4])[1] == [(0, [0, 1, 2, 3, 4]), (3, [0, 4]), (6, [1, 2])], "room for two rows"


def test_progress_is_reported_and_the_result_does_not_depend_on_the_chunks(monkeypatch):
    questions = [(10 * n, changed(n % 25)) for n in range(100)]
    whole = find_duplicates([questions])
    monkeypatch.setattr(duplicate_finder, "CHUNK", 40)
    seen = []
    with DuplicateFinder(0.7) as finder:
        finder.add(questions)
        assert list(finder.repeats(lambda *step: seen.append(step))) == whole and len(whole) > 75
    assert seen == [("questions compared", done, 100) for done in (0, 40, 80, 100)]


def test_files_that_are_read_again_and_again_do_not_stay_in_memory(monkeypatch):
    read, released = set(), set()
    monkeypatch.setattr(FileArray, "read", lambda self, as_before=FileArray.read: read.add(self) or as_before(self))
    monkeypatch.setattr(FileArray, "release", lambda self, as_before=FileArray.release: released.add(self) or as_before(self))
    with DuplicateFinder(0.7) as finder:
        finder.add([(n, changed(n % 25)) for n in range(100)])
        assert len(list(finder.repeats())) > 75
        assert read - released == {finder._seqs, finder._exact, finder._sizes, *finder._bands}, "these are read once"
        assert finder._shingles in released and len(released) >= 4, "buckets, their members and shingles"


def test_chunks_of_long_questions_have_fewer_rows(monkeypatch):
    def chunks(*sizes: int) -> list[tuple[int, int]]:
        return list(duplicate_finder._chunks(np.append(0, np.cumsum(sizes)).astype(np.int64)))

    monkeypatch.setattr(duplicate_finder, "CHUNK", 3)
    monkeypatch.setattr(duplicate_finder, "CHUNK_SHINGLES", 10)
    assert chunks(1, 1, 1, 1) == [(0, 3), (3, 4)] and chunks(1) == [(0, 1)]
    assert chunks(5, 5, 5, 1, 4, 1) == [(0, 2), (2, 5), (5, 6)]
    assert chunks(1, 30, 40, 2, 8) == [(0, 1), (1, 2), (2, 3), (3, 5)], "a question of more shingles is compared by itself"


def test_the_heartbeat_goes_on_during_comparisons():
    assert match_or_keep.targetoptions["nogil"], "a chunk of highly similar questions can take longer than a heartbeat may"


@pytest.mark.long
def test_questions_are_compared_where_compiled_code_cannot_be_cached(tmp_path):
    code = "from glan_core.dataset.duplicate_finder import find_duplicates as f; print(f([[(1, 'a b c d'), (2, 'a b c d e')]], 0.6))"
    only_given = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "TMPDIR": str(tmp_path)}  # and none is given
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=only_given,
        cwd=__file__.rsplit("/tests/", 1)[0],
    )  # fmt: skip
    assert done.stdout == "[Duplicate(seq=2, of=1, how='near', score=0.6666666666666666)]\n"
    assert list(tmp_path.iterdir()) == [], "the temporary cache is deleted at the end"


@pytest.mark.long
def test_results_do_not_depend_on_the_hash_seed_of_the_process():
    code = (
        "from glan_core.dataset.duplicate_finder import find_duplicates\n"
        "w = [f'w{n}' for n in range(40)]\n"
        "t = [' '.join(w[:40 - n] + [f'x{i}' for i in range(n)]) for n in (0, 5, 3, 1, 4, 2)]\n"
        "print([(r.seq, r.of, r.how, round(r.score, 6)) for r in find_duplicates([list(enumerate(t))])])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed}, cwd=__file__.rsplit("/tests/", 1)[0],
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    own = [(n, 0, "near", round((38 - k) / (38 + k), 6)) for n, k in enumerate((0, 5, 3, 1, 4, 2)) if k]
    assert told == {f"{own}\n"}


# ----------------------------------------------------------------------------------------------------------------- tagging


def tags(ws) -> list[tuple]:
    """Return (question, kind, how, question kept, score) of the tags."""
    rows = ws.db.execute(
        "SELECT q.text, t.kind, t.name, o.text, t.score FROM tags t JOIN questions q USING (seq) JOIN questions o ON o.id = t.other ORDER BY q.seq"
    )
    return rows.fetchall()


def run(ws, **values) -> tuple[str, list]:
    progress = Steps()
    progress.run_id = None
    return tag_duplicates(ws, NearDuplicateSettings(**values), progress), progress.seen


def test_a_run_tags_rows_and_reports(ws):
    add_pairs(ws, "music", (changed(0), "a"), (changed(2), "b"), ("Open?", None), ("open", "c"), ("OPEN", "d"))
    said, seen = run(ws)
    assert said == "4 questions compared. Duplicates: 1 exact, 1 near (similarity ≥ 0.70)."
    assert tags(ws) == [
        (changed(2), "duplicate", "near", changed(0), pytest.approx(0.9)), ("OPEN", "duplicate", "exact", "open", 1.0),
    ]  # fmt: skip
    last = homework_rows.last_seq(ws.db)
    assert seen[:2] == [("rows read", last, last)] * 2 and seen[-1] == ("tags stored", 2, 2)
    fact = ws.metadata(near_duplicate_job.FACT)
    assert {name: fact[name] for name in ("rows", "up_to", "tagged", "by", "crowded", "run_id")} == {
        "rows": 4, "up_to": last, "tagged": 2, "by": {"near": 1, "exact": 1}, "crowded": 0, "run_id": None,
    }  # fmt: skip
    assert fact["settings"]["threshold"] == 0.7
    assert run(ws, threshold=0.95)[0] == "4 questions compared. Duplicates: 1 exact, 0 near (similarity ≥ 0.95)."


def test_rejected_rows_are_not_compared(ws):
    first, *_ = add_pairs(ws, "music", ("Why?", "a"), ("why", "b"), ("WHY", "c"))
    review(ws, first, "reject", "Ada")
    assert run(ws)[0].startswith("2 questions compared. Duplicates: 1 exact")
    assert [(text, other) for text, _, _, other, _ in tags(ws)] == [("WHY", "why")]
    assert near_duplicate_job.OUT_BEFORE == ("rejected", "quality")


def test_tags_are_stored_in_batches(ws, monkeypatch):
    monkeypatch.setattr(near_duplicate_job, "BATCH", 2)
    add_pairs(ws, "music", *((text, "a") for text in ("Why?", "why", "WHY", "Why", "wHy", "whY")))
    said, seen = run(ws)
    assert [step for step in seen if step[0] == "tags stored"] == [("tags stored", n, 5) for n in (2, 4, 5)]
    assert said.startswith("6 questions compared. Duplicates: 5 exact") and len(tags(ws)) == 5


def test_semantic_duplicates_are_merged_and_counted(ws, monkeypatch):
    asked = []

    def semantic(ws, settings, seen, last, step):
        asked.append((settings.semantic_threshold, seen, last))
        return [Duplicate(3, 1, "meaning", 0.97)]

    monkeypatch.setattr(near_duplicate_job, "load_symbol", lambda name: semantic)
    add_pairs(ws, "music", ("Why?", "a"), ("WHY", "b"), ("What for?", "c"), ("what for", "d"))
    said, _ = run(ws, semantic=True)
    assert said == ("4 questions compared. Duplicates: 1 exact, 0 near (similarity ≥ 0.70), 2 semantic (similarity ≥ 0.95).")
    assert asked == [(0.95, {2, 4}, 4)]
    assert [(text, how, kept, score) for text, _, how, kept, score in tags(ws)] == [
        ("WHY", "exact", "Why?", 1.0), ("What for?", "meaning", "Why?", 0.97), ("what for", "meaning", "Why?", 0.97),
    ]  # fmt: skip


def test_merging_keeps_what_is_not_affected():
    one, meant = Duplicate(9, 2, "near", 0.8), Duplicate(5, 1, "meaning", 0.97)
    assert merge_semantic([one], [meant]) == [one, meant] and merge_semantic([], []) == []


def test_crowded_questions_are_in_the_message():
    def said(crowded):
        return near_duplicate_job._sentence(NearDuplicateSettings(), 1200, Counter(exact=1), crowded)

    assert said(0) == "1,200 questions compared. Duplicates: 1 exact, 0 near (similarity ≥ 0.70)."
    assert said(1).endswith("(similarity ≥ 0.70). 1 question had more candidates than could be compared.")


def test_tags_of_earlier_checks_are_replaced(ws):
    add_pairs(ws, "music", ("Why?", "a"), ("why", "b"), ("How?", "c"), ("how", "d"))
    from glan_core.workspace import run_rows

    for expected in (2, 1):
        with ws.write() as db:
            id = run_rows.add_run(db, "dedup", "Check", {})
        progress = Steps()
        progress.run_id = id
        tag_duplicates(ws, NearDuplicateSettings(), progress)
        assert len(tags(ws)) == expected
        assert ws.metadata(near_duplicate_job.FACT)["run_id"] == id
        with ws.write() as db:
            db.execute("UPDATE questions SET text = 'Which?' WHERE text = 'how'")
    assert tag_rows.tag_counts(ws.db) == {("duplicate", "exact"): (1, 0)}


BAND_HASHES = [[466887650, 349589342, 4254435555], [1341857032, 1345776101, 1568558082]]
