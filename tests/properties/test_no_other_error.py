"""Whatever the text, a parser returns a value or raises an error that its callers expect; a rule always returns."""

import pytest
from hypothesis import given, settings
from support import outside_readers
from support.outside_strategies import texts


@pytest.mark.long
@pytest.mark.parametrize("reader", outside_readers.parsers(), ids=str)
def test_parser_raises_no_other_error(reader):
    @settings(max_examples=40)
    @given(texts())
    def reads(text):
        try:
            reader.read(text)
        except outside_readers.EXPECTED as error:
            assert str(error).strip()

    reads()


@pytest.mark.parametrize("reader", outside_readers.rules(), ids=str)
def test_rule_always_returns(reader):
    @settings(max_examples=40)
    @given(texts())
    def judges(text):
        found = reader.read(text)
        assert found is None or (found and "\n" not in found)

    judges()
