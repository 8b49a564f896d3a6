"""Preloads: what the first picture of a page needs, as files of the installed Streamlit."""

import re

from pages.components.shared.preloads import FRONT_END, STATIC, preloads


def test_pages_that_begin_with_a_picture_preload_its_code_and_others_nothing():
    names = re.findall(r'href="\./static/js/([^"]+)"', preloads("/"))
    assert names[0].startswith("EChartsChart.") and len(names) == len(set(names)) == preloads("/").count("modulepreload")
    assert all((FRONT_END / name).is_file() for name in names)
    assert not [name for name in names if name in (STATIC / "index.html").read_text("utf-8")], "these are loaded anyway"
    assert preloads("/taxonomy") == preloads("/") and preloads("/runs") == ""
