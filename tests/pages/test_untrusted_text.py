"""Text of untrusted writers: nothing is fetched, nothing is dressed up, formulas and code stay what they are."""

import re
from math import isqrt

import pytest
from support import time_growth

from pages.components.shared.untrusted_text import JOINER, badge_label, escape, model_markdown, snippet


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://evil/p.png)", "\\![x](http://evil/p.png)", "\\\\![x](http://evil/p.png)", "![x][r]\n\n[r]: http://evil/p.png",
        "![r]\n\n[r]: http://evil", "[![x](http://evil)](http://evil)", "`a` ![x](http://evil)", "$$\n```\n$$\n![x](http://evil)",
        "- a\n\n  ```\n\n![x](http://evil)", "> ```\n![x](http://evil)", "!\ue000[x](http://evil)", "```\n![x](http://evil)\n```",
    ],
)  # fmt: skip
def test_no_image_is_left(text):
    """Not in code either: what counts as code to us might be none to the browser."""
    assert "![" not in model_markdown(text)


def test_a_broken_image_still_tells_where_it_pointed():
    assert model_markdown("See ![a cat](https://x.org/c.png).") == f"See !{JOINER}[a cat](https://x.org/c.png)."


def test_code_keeps_its_signs():
    for code in (
        "```rust\n#![allow(dead_code)]\nlet a: &str = \"$x\"; # Not a heading\n```", "~~~\n$a :red b\n~~~", "`$x :red`",
        "``a ` $b``", "1. Do:\n    ```sh\n    echo $HOME:$PATH\n    ```",
    ):  # fmt: skip
        assert model_markdown(code) == code
        assert model_markdown(f"Costs $5.\n\n{code}\n\nAnd $6.") == f"Costs \\$5.\n\n{code}\n\nAnd \\$6."


def test_html_is_left_to_streamlit_which_shows_it_as_text():
    text = "<b>bold</b> <img src=x onerror=alert(1)> <script>alert(1)</script>"
    assert model_markdown(text) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("# One\n## Two\ntext", "### One\n#### Two\ntext"), ("###### Six", "### Six"), ("> # Quoted", "> ### Quoted"),
        ("## A\n#### B\n### C\n# D\n## E", "### A\n#### B\n#### C\n### D\n#### E"), ("- # In a list", "- ### In a list"),
        ("# 1\n## 2\n### 3\n#### 4\n##### 5", "### 1\n#### 2\n##### 3\n###### 4\n###### 5"), ("#hashtag", "#hashtag"), ("a `b` # c", "a `b` # c"),
        ("Title\n=====", "Title\n\\====="), ("text\n---\nmore", "text\n\n---\nmore"),
    ],
)  # fmt: skip
def test_headings_go_below_a_section_and_skip_no_level(text, made):
    assert model_markdown(text) == made


@pytest.mark.parametrize(
    "formula",
    [
        "$x^2$",
        "$$x^2$$",
        "$$\n\\int_0^1 f: A \\to B\n$$",
        "$f: A \\to B$",
        "$$\\begin{pmatrix}1\\\\[2pt]2\\end{pmatrix}$$",
        "$5x$",
        "$5$",
    ],
)
def test_formulas_are_kept(formula):
    assert (
        model_markdown(f"Let {formula} be.").split() == f"Let {formula} be.".replace("$$\n", "$$").replace("\n$$", "$$").split()
    )


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (r"a \(x\) b", "a $x$ b"), (r"a \[ y \] b", "a $$y$$ b"), ("then\n\\[ y \\]\nso", "then\n$$\ny\n$$\nso"),
        (r"\\(not\\)", r"\\(not\\)"), (r"$a \$ b$", r"$a \text{\textdollar} b$"), (r"\(unclosed", r"\(unclosed"),
    ],
)  # fmt: skip
def test_tex_brackets_become_dollars(text, made):
    assert model_markdown(text) == made


@pytest.mark.parametrize(
    "text",
    ["It costs $5 and then $6.", "$5-$6", "$ 5 and $ 6", "from $1\nto $2", "$$", "a $x", "pay $10, $20 or $30", "$a\n\nb$"],
)
def test_money_is_no_formula(text):
    assert model_markdown(text) == text.replace("$", r"\$")


def test_an_escaped_dollar_stays_one():
    assert model_markdown(r"\$5 and \\$6") == r"\$5 and \\\$6"


@pytest.mark.parametrize("sign", [":red[hot]", ":material/home:", ":streamlit:", "::name[x]", ":::note", ":gray-badge[demo]"])
def test_signs_of_streamlit_mean_nothing(sign):
    for made in (model_markdown(f"a {sign} b"), escape(f"a {sign} b")):
        assert f" {sign}" not in made and made.replace("\\", "").replace(JOINER, "") == f"a {sign} b"


@pytest.mark.parametrize("before", ["", "\\", "\\\\", "\\\\\\", "a\\", ":\\", "\\:"])
@pytest.mark.parametrize("sign", [":red[hot]", ":gray-badge[demo]", "::name[x]"])
def test_backslashes_do_not_revive_the_signs_of_streamlit(before, sign):
    for colon in re.finditer(r"(\\*):(?=[A-Za-z:])", model_markdown(f"a {before}{sign} b")):
        assert len(colon[1]) % 2, "an even number of backslashes are characters, and the colon is a sign"


def test_an_escaped_colon_is_escaped_once():
    assert model_markdown(r"\:red[hot] std::pair \\:x") == r"\:red[hot] std\:\:pair \\\:x"


@pytest.mark.parametrize("text", ["Injected\n===", "Injected\n  =", "a\n\n=====\nb"])
def test_no_line_of_a_name_becomes_a_heading(text):
    made = escape(text)
    assert not re.search(r"^\s*=", made, re.MULTILINE) and made.replace("\\", "") == text


def test_the_label_of_a_badge_is_one_line():
    assert badge_label("Level [1]\n\n===\r\n* x") == "Level [1] === \\* x"


@pytest.mark.parametrize(
    "text",
    [
        "[a](https://x.org/b:c?d=e)", "https://en.wikipedia.org/wiki/Help:Contents", "<https://x.org/a:b>", "<mailto:a@b.org>",
        "[a][r]\n\n[r]: https://x.org", "|a|b|\n|:---|---:|\n|1|2|", "10:30, a: b", "- a\n- b\n\n1. c",
    ],
)  # fmt: skip
def test_links_tables_and_times_are_left_alone(text):
    assert model_markdown(text) == text


def test_plain_text_of_names():
    assert escape("a_b *c* #1 [d](e) $f$ <g> &amp;") == "a\\_b \\*c\\* \\#1 \\[d\\]\\(e\\) \\$f\\$ \\<g\\> \\&amp;"


PIECES = [
    "`", "``` ", "```\n", "$", "$$", "$a ", "$$a", "\\[", "\\(", "\\", "[", "![", "![x](u)", "](", "<a:", "https://", "#", "# ", "> ",
    "-\n", "=\n", "- ", "1. ", "~", ":", ":a", " ", " \n", "\t", "`a\n\n", "$x\n\n", "\\[\n\n", "|---|\n", "\ue0001\ue001",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_text_of_one_piece_takes_no_time(piece):
    assert time_growth.slowness(model_markdown, lambda size: (piece * size)[:size], 25_000) is None


def test_backtick_runs_of_all_lengths_take_no_time():
    def runs(size: int) -> str:
        return " ".join("`" * length for length in range(1, isqrt(2 * size)))

    assert time_growth.slowness(model_markdown, runs, 25_000) is None


@pytest.mark.parametrize(
    "text", ["", "```", "```py\nno end $x", "`no end", "$", "\\", "\ue000", "\ue0005\ue001", "a\r\nb", "\x00"]
)
def test_unfinished_text_does_no_harm(text):
    assert isinstance(model_markdown(text), str)
    assert "\ue000" not in model_markdown(text)


@pytest.mark.parametrize(
    "name", ["see http://a.example/x", "HTTPS://a.example", "www.a.example", "ann@a.example", "mailto:ann@a.example"]
)
def test_an_address_in_a_name_is_no_link(name):
    shown = escape(name).replace("\\", "")  # links are looked for in the text, where escapes are gone
    assert shown.replace(JOINER, "") == name
    assert not re.search(r"(?i)(https?|ftp|mailto):|www\.|@[\w-]+\.", shown)


@pytest.mark.parametrize(
    ("text", "most", "made"),
    [
        ("## Answer\n\n1. **One** is $x^2$.\n2. `Two`.", 80, "Answer **One** is $x^2$. `Two`."),
        ("**A leading tone** rises.", 10, "**A leadi**…"),
        ("A **leading** tone", 5, "A…"),
        ("The area is $\\pi r^2$ for every circle.", 18, "The area is…"),
        ("Call `a.b` and `c.d` then stop it.", 19, "Call `a.b` and…"),
        ("A ticket costs $5 and two of them ten.", 30, "A ticket costs \\$5 and two of…"),
        ("```python\nprint(1)\n```\n> quoted\n---\n- item", 80, "print(1) quoted item"),
        ("Short.", 6, "Short."),
    ],
)  # fmt: skip
def test_the_opening_of_a_text_is_one_line_with_nothing_left_open(text, most, made):
    assert snippet(text, most) == made


def test_the_opening_of_a_text_fetches_nothing():
    assert "![" not in snippet("![x](http://evil/p.png) and more of it", 30)
