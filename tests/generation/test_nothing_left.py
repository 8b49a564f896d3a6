"""Plans whose stages need no calls, with known and unknown prices: the price is known unless a call of unknown price is needed."""

import itertools
import re

import pytest
from support.runs import Canned

from glan_core.cli import main
from glan_core.cli.teacher_run import plan_lines
from glan_core.errors import GlanError
from glan_core.generation.plan import price
from glan_core.generation.settings import GenerationSettings
from glan_core.settings import read_settings

UNKNOWN = "openai:local-model"
PRICES = {"known": "1,2", "free": "0,0", "unknown": None}


@pytest.mark.parametrize("calls", list(itertools.product([(0, 0), (0, 5), (3, 3)], repeat=2)), ids=str)
@pytest.mark.parametrize("prices", list(itertools.product(PRICES, repeat=2)), ids="-".join)
def test_every_mix_of_stages_has_a_price_or_says_that_it_is_unknown(ws, calls, prices):
    stages = {
        stage: {"teacher": UNKNOWN, **({"price": PRICES[kind]} if PRICES[kind] else {})}
        for stage, kind in zip(("question", "answer"), prices, strict=True)
    }
    values = {"target": {"disciplines": ["music"]}, "teacher": UNKNOWN, "stages": stages}
    counts = dict(zip(("question", "answer"), calls, strict=True))
    made = price(ws, read_settings(GenerationSettings, values), counts)
    unknown = any(most and kind == "unknown" for (_, most), kind in zip(calls, prices, strict=True))
    free = not any(most and kind == "known" for (_, most), kind in zip(calls, prices, strict=True))
    assert (made.usd is None) is unknown
    text = "\n".join(plan_lines(made))
    if not any(most for _, most in calls):
        assert text == "Nothing to do: the target is complete." and made.usd == (0, 0)
    else:
        assert ("price unknown" in text.splitlines()[-2]) is unknown
        assert any(least == 0 < most for least, most in calls) or not re.search(r"\$0\.00\b", text)
        assert unknown or (made.usd == (0, 0)) is free
    with_budget = read_settings(GenerationSettings, {**values, "budget_usd": 1})
    if unknown:
        with pytest.raises(GlanError, match="is unknown, so a budget in USD cannot be enforced"):
            price(ws, with_budget, counts)
    else:
        assert price(ws, with_budget, counts).usd == made.usd


@pytest.mark.parametrize("price", [None, "0,0", "1,2"])
def test_plan_generate_and_judge_again_when_nothing_is_left(ws, teach, monkeypatch, capsys, price):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    teach(Canned(name=UNKNOWN))
    teacher = ["--teacher", UNKNOWN, "--base-url", "http://127.0.0.1:9/v1", *(["--price", price] if price else [])]
    amounts = ["--disciplines", "music", "--subject-queries", "1", "--questions-per-syllabus", "2"]
    folder = str(ws.folder)
    assert main(["judge", folder, *teacher]) in (0, 2), "no pairs yet"
    assert main(["generate", folder, *amounts, *teacher]) == 0
    assert main(["judge", folder, *teacher]) in (0, 1)
    for words in (["plan", folder, *amounts], ["plan", folder, *amounts, "--json"], ["generate", folder, *amounts],
                  ["generate", folder, *amounts, "--json"], ["judge", folder, "--plan"], ["judge", folder],
                  ["judge", folder, "--json"]):  # fmt: skip
        capsys.readouterr()
        code = main([*words, *teacher])
        said = capsys.readouterr()
        assert code in (0, 1) and "Traceback" not in said.err + said.out, (words, said)
        if words[0] == "plan" and "--json" not in words:
            assert said.out == "Nothing to do: the target is complete.\n"
