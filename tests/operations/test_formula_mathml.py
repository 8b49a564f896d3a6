"""TeX as MathML: common formulas are converted to well-formed markup, all others are left to be shown as source."""

from xml.etree import ElementTree

import pytest

from glan_core.operations.stakeholder_report.formula_mathml import mathml


@pytest.mark.parametrize(
    ("tex", "tags", "said"),
    [
        ("n^{n-2}", {"msup"}, "nn−2"),
        (r"\frac{180}{3} = 60", {"mfrac"}, "1803=60"),
        (r"\sum_{k=1}^{n} k^2", {"munderover", "msup"}, "∑k=1nk2"),
        (r"\lim_{x \to 0} f'(x)", {"munder", "msup"}, "limx→0f′(x)"),
        (r"x_i^2", {"msubsup"}, "xi2"),
        (r"\sqrt[3]{x} + \sqrt{\pi}", {"mroot", "msqrt"}, "x3+π"),
        (r"\left(\frac{a}{b}\right)", {"mfrac"}, "(ab)"),
        (r"\mathbb{R} \subseteq \mathbf{V}", {"mi"}, "ℝ⊆V"),
        (r"\text{rate in \%} \approx 3.5", {"mtext"}, "rate in %≈3.5"),
        (r"\binom{n}{k}", {"mfrac"}, "(nk)"),
        (r"\hat{y} = \bar x", {"mover"}, "y^=x¯"),
        (r"a < b \land c > d", {"mo"}, "a<b∧c>d"),
        (r"\left. x \right|", {"mi"}, "x|"),
    ],
)
def test_a_formula_becomes_well_formed_mathml(tex, tags, said):
    root = ElementTree.fromstring(mathml(tex).replace("&#8289;", ""))
    assert tags <= {element.tag for element in root.iter()} and "".join(root.itertext()) == said


def test_a_displayed_formula_is_a_block():
    assert mathml("x", block=True).startswith('<math display="block">')


@pytest.mark.parametrize(
    "tex",
    [r"\unknown{x}", "{a", "a}", "x^1^2", r"\begin{matrix}a & b\end{matrix}", r"\frac{a}", "a & b", r"\text{a \frac b}", r"\mathbb{a}",
     "{" * 500 + "}" * 500, r"\sqrt" * 300 + "x", r"\hat" * 300, "x" * 3000, "x^", "\\"],
)  # fmt: skip
def test_what_is_not_converted_is_left_to_its_source(tex):
    assert mathml(tex) is None


def test_hostile_text_is_escaped():
    drawn = mathml(r"\text{<script>alert(1)</script>} \mathrm{</math>} < ⟨ 字")
    ElementTree.fromstring(drawn)
    assert "<script" not in drawn and drawn.count("</math>") == 1
