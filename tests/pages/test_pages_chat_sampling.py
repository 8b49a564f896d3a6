"""Sampling on the Chat page: per model, stored with the conversation, sent with the request; locked seed and word diff."""

from types import SimpleNamespace

import pytest
from support.chat_models import make_full, make_tuned
from support.studio_app import Studio, choose, copy_of, field

from glan_core.chat import conversations
from glan_core.chat.conversations import ConversationSettings
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.workspace import Workspace, chat_rows
from pages.components.chat import reply_diff

pytest_plugins = ["support.studio_fixtures", "support.chat_fixtures"]
pytestmark = pytest.mark.usefixtures("talking")
SIDE_BY_SIDE = "base:tuned,tuned:tuned"
OWN = "tuned:tuned"


@pytest.fixture(scope="module")
def tuned_made(demo_made, chat_base, tmp_path_factory):
    folder = copy_of(demo_made, tmp_path_factory.mktemp("tuned"), "demo")
    ws = Workspace.open(folder)
    make_full(ws)
    make_tuned(ws, chat_base)
    ws.close()
    return folder


@pytest.fixture
def tuned_ws(home, tuned_made):
    ws = Workspace.open(copy_of(tuned_made, home, "demo"))
    yield ws
    ws.close()


def finished(shown: Studio) -> Studio:
    """Look on until the answers are there."""
    return shown.until(lambda shown: "Generating replies" not in shown.app.chat_input[0].placeholder)


def ask(shown: Studio, prompt: str) -> Studio:
    shown.app.chat_input[0].set_value(prompt).run()
    assert shown.fine
    return finished(shown)


def switch(shown: Studio, key: str, *, on: bool = True) -> Studio:
    next(one for one in shown.app.toggle if one.key == key).set_value(on).run()
    assert shown.fine
    return shown


def facts(ws: Workspace, version: int = 0, turn: int = 1) -> dict[str, dict]:
    """Return the facts of each reply by model."""
    return {reply.model: reply.facts for reply in chat_rows.replies(ws.db, turn, version)}


def own_settings(shown: Studio, **values) -> Studio:
    """Give the tuned model settings of its own."""
    choose(shown, talk_sampling_of=OWN)
    switch(shown, f"talk_has_own_{OWN}")
    return choose(shown, **{f"talk_{name}_{OWN}": value for name, value in values.items()})


@pytest.mark.long
def test_a_model_has_settings_of_its_own_and_the_request_uses_them(tuned_ws):
    shown = choose(Studio("chat", models=SIDE_BY_SIDE), talk_max_tokens=6, talk_temperature=0.0)
    own_settings(shown, max_tokens=9, temperature=1.5, top_k=7, repetition_penalty=1.3)
    ask(shown, "hello")
    used = facts(tuned_ws)
    assert {name: used["base:tuned"][name] for name in ("temperature", "top_k", "repetition_penalty", "max_tokens", "tokens_out")} == {
        "temperature": 0.0, "top_k": 0, "repetition_penalty": 1.0, "max_tokens": 6, "tokens_out": 6
    }  # fmt: skip
    assert {name: used[OWN][name] for name in ("temperature", "top_k", "repetition_penalty", "max_tokens", "tokens_out")} == {
        "temperature": 1.5, "top_k": 7, "repetition_penalty": 1.3, "max_tokens": 9, "tokens_out": 9
    }  # fmt: skip
    assert used["base:tuned"]["seed"] == used[OWN]["seed"], "the seed is common"
    hints = " ".join(one.help or "" for one in shown.app.caption)
    assert "temperature 1.5, top-p 0.95, top-k 7, repetition penalty 1.3, seed" in hints and "greedy, seed" in hints


@pytest.mark.long
def test_own_settings_are_kept_per_model_and_stored_with_the_conversation(tuned_ws):
    shown = own_settings(choose(Studio("chat", models=SIDE_BY_SIDE), talk_max_tokens=6), max_tokens=4)
    choose(shown, talk_sampling_of="all", talk_temperature=0.3)
    assert field(choose(shown, talk_sampling_of=OWN), f"talk_max_tokens_{OWN}").value == 4, (
        "those of all models do not touch them"
    )
    choose(shown, talk_sampling_of="base:tuned")
    assert "Uses the settings of all models." in shown.said
    ask(shown, "hello")
    id = int(shown.app.query_params["chat"])
    stored = conversations.settings_of(conversations.get_conversation(tuned_ws, id))
    assert set(stored.own) == {OWN} and (stored.own[OWN].max_tokens, stored.decoding.temperature) == (4, 0.3)
    other = Studio("chat", chat=str(id))
    assert field(choose(other, talk_sampling_of=OWN), f"talk_max_tokens_{OWN}").value == 4
    assert "tuned (own settings)" in next(box for box in other.app.selectbox if box.key == "talk_sampling_of").options


def test_settings_taken_back_are_the_common_ones_again(tuned_ws):
    shown = own_settings(choose(Studio("chat", models=SIDE_BY_SIDE), talk_max_tokens=5), max_tokens=9)
    switch(shown, f"talk_has_own_{OWN}", on=False)
    assert "Uses the settings of all models." in shown.said
    ask(shown, "hello")
    assert [one["max_tokens"] for one in facts(tuned_ws).values()] == [5, 5]
    switch(shown, f"talk_has_own_{OWN}")
    assert field(shown, f"talk_max_tokens_{OWN}").value == 5, "they begin with the common ones"


def test_a_model_that_is_not_selected_any_more_leaves_no_settings_in_the_request(tuned_ws):
    shown = own_settings(Studio("chat", models=SIDE_BY_SIDE), max_tokens=9)
    shown.app.multiselect[0].set_value(["base:tuned"]).run()
    choose(shown, talk_max_tokens=3)
    ask(shown, "hello")
    stored = conversations.settings_of(conversations.get_conversation(tuned_ws, int(shown.app.query_params["chat"])))
    assert stored.own == {} and facts(tuned_ws)["base:tuned"]["tokens_out"] == 3


@pytest.mark.long
def test_top_k_1_is_greedy_and_a_penalty_changes_the_reply(tuned_ws):
    shown = choose(Studio("chat", models="tuned:tuned"), talk_max_tokens=16, talk_temperature=0.0)
    texts = [chat_rows.replies(tuned_ws.db, 1, 0)[0].text for _ in [ask(shown, "hello")]]
    for version, values in (
        (1, {"talk_temperature": 1.0, "talk_top_k": 1}),
        (2, {"talk_temperature": 0.0, "talk_repetition_penalty": 2.0}),
    ):
        finished(choose(shown, **values).press("Regenerate"))
        texts.append(chat_rows.replies(tuned_ws.db, 1, version)[0].text)
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.long
def test_a_locked_seed_repeats_the_reply_and_an_open_one_does_not(tuned_ws):
    shown = choose(Studio("chat", models="tuned:tuned"), talk_max_tokens=16, talk_temperature=2.0, talk_top_k=8)
    ask(shown, "hello")
    finished(switch(shown, "talk_same_seed").press("Regenerate"))
    finished(switch(shown, "talk_same_seed", on=False).press("Regenerate"))
    first, locked, free = (chat_rows.replies(tuned_ws.db, 1, version)[0] for version in range(3))
    assert (first.text, first.facts["seed"]) == (locked.text, locked.facts["seed"])
    assert free.text != first.text and free.facts["seed"] == first.facts["seed"] + 1
    assert "3 of 3" in shown.said


def test_the_differing_words_of_two_replies_are_marked(tuned_ws):
    shown = choose(Studio("chat", models=SIDE_BY_SIDE), talk_max_tokens=8, talk_temperature=0.0)
    ask(shown, "hello")
    assert "orange-background" not in "".join(one.value for one in shown.app.markdown)
    switch(shown, "talk_diff_1")
    marked = [one.value for one in shown.app.markdown if ":orange-background[" in one.value]
    assert len(marked) == 2 and "0 words in common" in shown.said


HOSTILE = (
    "Same <script>alert(1)</script> [link](http://127.0.0.1:9/x) ![spy](http://127.0.0.1:9/spy.png)\n\n# Heading]\n\n"
    "- one *two* `x` $y$ :red[no]"
)


@pytest.mark.long
def test_markup_in_replies_stays_text_in_the_word_diff(tuned_ws):
    id = conversations.ask(
        tuned_ws,
        None,
        ConversationSettings(specs=("scripted", "base:tuned"), decoding=SeededDecodingParams(max_tokens=2)),
        "hello",
    )
    shown = finished(Studio("chat", chat=str(id)))
    with tuned_ws.write() as db:
        db.execute("UPDATE chat_replies SET text = ? WHERE pane = 0", (HOSTILE,))
        db.execute("UPDATE chat_replies SET text = 'Same one' WHERE pane = 1")
    switch(shown, "talk_diff_1")
    hostile = next(one for one in shown.app.markdown if ":orange-background[" in one.value and "spy" in one.value)
    value = hostile.value
    assert not hostile.allow_html and r"\<script\>" in value and "![" not in value and "](" not in value.replace(r"\]\(", "")
    assert "http://" not in value, "an address would become a link"
    assert r"\# Heading\]" in value and r"\:red\[no\]" in value and r"\`x\`" in value and r"\$y\$" in value
    assert "2 words in common" in shown.said


def test_a_mark_does_not_span_paragraphs():
    """A directive of Streamlit ends with its paragraph, and its brackets would be shown."""
    text = reply_diff._marked((" first line\n\n    indented\nlast ", True))
    assert text == " :orange-background[first line]\n\n:orange-background[indented]\n\n:orange-background[last]"
    assert reply_diff._marked(("\n\nnext *one*", False)) == "\n\nnext \\*one\\*"
    assert reply_diff._marked(("one", False)) == "one"


def test_a_reply_without_words_has_no_diff(tuned_ws):
    empty, other = (SimpleNamespace(text=text) for text in ("  ", "word"))
    assert reply_diff.panel(1, [empty, other], ["a", "b"]) is None
