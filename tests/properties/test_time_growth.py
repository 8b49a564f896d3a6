"""No text makes a pattern, a rule or a parser slow: four times the text takes at most about four times as long.

The readers are collected from the sources, so that a new one is covered. `benchmarks/text_growth.py` tries all texts, at 20 to 80 kB.
"""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import outside_readers, outside_text, time_growth
from support.outside_text import ENDS, FILLINGS, PIECES, Reader, repeated

SIZE = 5_000  # characters, and four times as many
PATTERN_EXAMPLES, PARSER_EXAMPLES = 40, 16


def texts(reader: Reader) -> st.SearchStrategy:
    """Return texts that repeat one or two pieces, perhaps behind a beginning that the reader looks for."""
    piece = st.sampled_from((*PIECES, *reader.own))
    begun = st.sampled_from(("", *reader.own))
    filling = st.one_of(piece, st.sampled_from(FILLINGS), st.builds(str.__add__, piece, piece))
    return st.builds(repeated, begun, filling, st.sampled_from(ENDS)) | st.builds(
        repeated, st.just(""), piece, st.sampled_from(ENDS)
    )


def check(reader: Reader, examples: int) -> None:
    @settings(max_examples=examples)
    @given(texts(reader))
    def is_linear(make):
        found = time_growth.slowness(reader.read, make, max(SIZE, reader.bound))
        assert found is None, f"{reader.name} takes {found}: {make(40)!r}"

    is_linear()


@pytest.mark.parametrize("reader", outside_text.patterns(), ids=str)
def test_pattern_is_linear(reader):
    check(reader, PATTERN_EXAMPLES)


@pytest.mark.parametrize("reader", (*outside_readers.rules(), *outside_readers.parsers()), ids=str)
def test_parser_is_linear(reader):
    check(reader, PARSER_EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("reader", (*outside_readers.rules(), *outside_readers.parsers()), ids=str)
def test_parser_is_linear_in_every_piece(reader):
    slow = {
        piece: found
        for piece in PIECES
        if (found := time_growth.slowness(reader.read, repeated("", piece, ""), max(SIZE, reader.bound)))
    }
    assert not slow


@pytest.mark.parametrize(
    "pattern", [r"\$\$.+?\$\$|\\\(.+?\\\)", r"^\s*\|", r"(?=[^.?!]*\byou\b)", r"\[[^\]]*\]\(", r"\s*,\s*", r"<!--.*?-->"]
)
def test_a_careless_pattern_is_found(pattern):
    compiled = re.compile(pattern, re.DOTALL | re.MULTILINE)
    reader = Reader(pattern, lambda text: sum(1 for _ in compiled.finditer(text)), outside_text.own_pieces(compiled))
    assert any(time_growth.slowness(reader.read, make, SIZE // 4) for _, make in outside_text.texts(reader))


def test_readers_are_collected():
    names = [reader.name for reader in outside_readers.readers()]
    assert len(names) == len(set(names)) and len(outside_text.patterns()) > 150
    for part in (
        "COURSE_REFERENCE[0].search",
        "CHANNEL.finditer",
        "LAYOUTS[0].fullmatch",
        "rule loop of an answer",
        "split_reasoning",
    ):
        assert any(part in name for name in names)
