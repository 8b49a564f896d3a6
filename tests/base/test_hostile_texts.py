"""Hostile texts on every surface: pages, figures, command line, report and cards. The browser test looks at the pages themselves."""

import json
import re
import time
import unicodedata
from html.parser import HTMLParser

import pytest
from support.hostile_workspace import hostile_names, hostile_texts

from glan_core.cli.output import say, table, to_json
from glan_core.figures.labels import chart_html, chart_text, label, label_lines
from glan_core.formatting import shorten
from glan_core.markdown import plain
from glan_core.operations.stakeholder_report.html_blocks import text as html_text
from glan_core.operations.stakeholder_report.model_text import model_html
from glan_core.reply_parsing import one_line
from glan_core.tex_formulas import drawable
from glan_core.untrusted import ascii_escapes, clean, clean_line
from pages.components.shared.untrusted_text import JOINER, badge_label, escape, model_markdown, snippet

TEXTS = [*hostile_texts(), *hostile_names(), "\ud800 half a character", "\x1b[31m" * 500, "\u202e" * 500]
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def acts(text: str) -> list[str]:
    """Return the characters that act on what is around them."""
    controls = [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t"]
    marks = re.findall(r"[\u0300-\u036f\u0489]{9,}", text)
    return [
        *controls,
        *(c for c in text if c in BIDI),
        *marks,
        *re.findall("[\u200b-\u200d\u2060\ufe0f\ufeff\U000e0000-\U000e007f]{9,}", text),
    ]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_surface_shows_characters_that_act(text):
    for shown in (
        clean(text), clean_line(text), escape(text), model_markdown(text), snippet(text, 80), badge_label(text), label(text), chart_text(text),
        chart_html(text), html_text(text), model_html(text), plain(text), shorten(text, 50), *table([(text,)], ("name",)),
    ):  # fmt: skip
        assert acts(shown) == [] and shown.encode() is not None
    assert clean(clean(text)) == clean(text)


def test_languages_keep_their_signs():
    england = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    hebrew, arabic = "שָׁלוֹם", "العربية\u200f (RTL) می‌خواهم"
    for text in ("हिन्दी में", arabic, hebrew, "Tiếng Việt", "ไทย", f"👨‍👩‍👧 {england} ❤️", "ZZ\u0301\u0323"):
        assert clean(text) == text
    assert clean("a\r\nb\rc\x85d\u2028e\x0bf") == "a\nb\nc\nd\ne\nf"
    assert clean("a\x1b[1;31mb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d\x1b(Be") == "abcde"
    assert clean("keep \x1b] the rest of the line") == "keep  the rest of the line"
    assert clean("invoice\u202egpj.exe") == "invoicegpj.exe"


def test_names_are_cleaned_where_they_come_in():
    assert one_line("a\x1b[31mb\u202ec\nd") == "abc d"
    assert one_line("half \ud800") == "half \ud800"  # malformed rather than shortened
    assert one_line(7) == 7


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_command_line_obeys_no_text(text, capsys):
    say(f"{text} end", end="")
    out = capsys.readouterr().out
    assert acts(out) == [] and "\x1b" not in out and out.endswith("end")
    storable = text.encode("utf-8", "replace").decode()
    written = to_json({"name": storable})
    assert json.loads(written) == {"name": storable} and not [
        c for c in written if c in BIDI or (unicodedata.category(c) == "Cc" and c != "\n")
    ]


def test_escapes_of_json_are_read_back():
    value = {"text": "\x7f\x9b31m\u202e\u2028", "é": "😀"}
    assert json.loads(ascii_escapes(json.dumps(value, ensure_ascii=False))) == value
    assert "😀" in ascii_escapes(json.dumps(value, ensure_ascii=False))


ALLOWED = {
    "div", "p", "br", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "h6", "table", "thead", "tbody", "tr", "th", "td", "span",
    "math", "mrow", "mi", "mo", "mn", "msup", "msub", "msubsup", "munder", "mover", "munderover", "mfrac", "msqrt", "mroot", "mtext", "mspace", "s",
}  # fmt: skip


class Tags(HTMLParser):
    """The tags of a document, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, attrs))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_report_has_no_element_of_a_text(text):
    assert Tags(html_text(text)).found == []
    for tag, attributes in Tags(model_html(text)).found:
        assert tag in ALLOWED
        assert all(name in ("class", "display", "width", "accent", "linethickness", "style", "start") for name, _ in attributes)
        assert all(
            value in ("text-align:left", "text-align:right", "text-align:center")
            for name, value in attributes
            if name == "style"
        )


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_page_has_no_link_but_to_the_web_and_no_picture(text):
    shown = model_markdown(text)
    assert "![" not in shown
    outside = re.sub(r"(`+)[^`].*?\1|^```.*?(?:^```|\Z)", "", shown, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(\s*<?([^)\s]*)|\]:\s*<?(\S*)|<([a-z][a-z0-9+.-]+:)", outside, re.IGNORECASE):
        assert re.match(r"(?i)https?:|mailto:", "".join(target))
    assert not re.search(r":(?:smile|skull|\+1|100|heart_eyes|flag-us):", outside)
    assert not re.search(
        r"(?<!\\):(?:red|green|rainbow|blue|violet|gray|material|streamlit)", outside.replace(f":{JOINER}", "\\:")
    )


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_name_is_text_in_figures(text):
    shown = label(text)
    assert not set("<>") & set(shown) and "%{" not in shown and "\n" not in shown
    assert not set("<>{}\"'") & set(chart_html(text)) and not set("{}") & set(chart_text(text))
    assert label_lines(text, text) == f"{shown}<br>{shown}"


@pytest.mark.parametrize(
    ("tex", "made"),
    [
        (r"\frac{a}{b} + \sqrt[3]{x}", r"\frac{a}{b} + \sqrt[3]{x}"), (r"a\\[2pt]b", r"a\\[2pt]b"), (r"a\\[500em]b", r"a\\b"),
        (r"x\hspace{500em}y", r"x\quad y"), (r"a\kern500em b", r"a\quad  b"), (r"\Huge X", "  X"), (r"\textcolor{red}{x}", " {x}"),
        (r"\rule{500em}{500em}", None), (r"\href{javascript:1}{x}", None), (r"\def\a{\a}\a", None), (r"\raisebox{9em}{x}", None),
        (r"\htmlStyle{position:fixed}{x}", None), (r"\includegraphics{x}", None), ("{" * 40 + "}" * 40, None), (r"\sqrt" * 20 + "x", None),
        ("x" * 3001, None), (r"\color\a x", None), (r"\begin{matrix}a&b\\c&d\end{matrix}", r"\begin{matrix}a&b\\c&d\end{matrix}"), ("\\", "\\"),
    ],
)  # fmt: skip
def test_formulas_that_may_be_drawn(tex, made):
    assert drawable(tex) == made


def test_a_refused_formula_is_shown_as_its_source():
    assert model_markdown(r"see $\rule{9em}{9em}$ here") == r"see ` \rule{9em}{9em} ` here"
    assert model_markdown(r"$\rule{`}{``}$") == "``` \\rule{`}{``} ```"


def test_hostile_texts_take_no_time():
    started = time.thread_time()
    for text in TEXTS:
        for _ in range(5):
            model_markdown(text), escape(text), clean(text), label(text)
    assert time.thread_time() - started < 2


def test_the_corpus_is_large_and_named():
    assert len(hostile_texts()) >= 60 and len(set(hostile_names())) == len(hostile_names())
