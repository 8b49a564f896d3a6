"""Inputs that `benchmarks/fuzzing.py` found to reach new code are read without unexpected errors, and fast."""

import json
from pathlib import Path

import pytest
from support import outside_readers, time_growth

INPUTS = json.loads((Path(__file__).parents[1] / "data/fuzz/inputs.json").read_text("utf-8"))
READERS = {reader.name: reader for reader in (*outside_readers.rules(), *outside_readers.parsers())}


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_of_the_fuzzer_is_read(name):
    for text in INPUTS[name]:
        try:
            READERS[name].read(text)
        except outside_readers.EXPECTED as error:
            assert str(error).strip()
        assert time_growth.seconds(READERS[name].read, text) < 0.5
