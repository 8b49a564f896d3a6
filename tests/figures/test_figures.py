"""Figures of a known workspace, in both themes."""

import tomllib
from math import pi
from pathlib import Path

import pytest
from support.chart_items import chart_items, chart_labels

from glan_core.figures import rings, tiles
from glan_core.figures.concepts import concept_frames, concept_graph
from glan_core.figures.coverage import MEASURES, coverage_frame, coverage_rings, coverage_tiles
from glan_core.figures.coverage_sunburst import coverage_sunburst
from glan_core.figures.style import DARK, LIGHT, READABLE, at, contrast, ink_on, mix, style
from glan_core.figures.text_width import LONGEST, text_width, wrapped
from glan_core.figures.tree_parts import ALL, drawn_ids
from glan_core.records import Node
from glan_core.taxonomy import coverage, tree_editing
from glan_core.taxonomy.coverage import Coverage
from glan_core.taxonomy.hierarchy import GROUPS, tree_of
from glan_core.workspace import call_rows, taxonomy_rows
from glan_core.workspace.curriculum_rows import Session
from glan_core.workspace.taxonomy_rows import DisciplineTarget

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


@pytest.fixture
def frames(ws):
    """Frames by measure: mathematics half done, music started, nothing else."""
    with ws.write() as db:
        for discipline in ("mathematics", "music"):
            taxonomy_rows.put_target(db, discipline, DisciplineTarget(1, None, 10))
        call_rows.count(db, "mathematics", subjects=2, syllabi=2, concepts=8, questions=10, pairs=10, dropped_rejected=3, dropped_duplicate=1,
                        last_at=900)  # fmt: skip
        call_rows.count(db, "music", subjects=1, concepts=2, last_at=500)
    tree = tree_editing.tree(ws)
    standings = coverage.coverage_by_node(ws, tree)
    return {measure: coverage_frame(tree, standings, measure).set_index("id", drop=False) for measure in MEASURES}


def test_a_row_for_every_node_parents_first(frames, ws):
    frame = frames["pairs"]
    assert sorted(frame["id"]) == sorted([ALL, *(node.id for node in taxonomy_rows.nodes(ws.db))])
    seen = {""}
    for id, parent in zip(frame["id"], frame["parent"], strict=True):
        assert parent in seen
        seen.add(id)
    assert frame.loc["cave-mapping", "parent"] == "earth" and frame.loc["arts", "parent"] == ALL


def test_shares_are_means_over_all_disciplines(frames):
    share = frames["share"]["value"]
    assert share[["mathematics", "formal-sciences", "music"]].to_list() == [0.5, 0.5, 0.0]
    assert share[ALL] == pytest.approx(0.5 / 5)
    assert share[["crafts", "earth-science"]].isna().all()
    assert frames["share"]["shade"].dropna().equals(share.dropna())


def test_counts_are_shaded_within_their_kind_and_nothing_is_none(frames):
    pairs = frames["pairs"]
    assert pairs["value"].dropna().to_dict() == {ALL: 10, "formal-sciences": 10, "mathematics": 10}
    concepts = frames["concepts"]
    assert concepts.loc[["mathematics", "music"], "shade"].to_list() == [1.0, 0.25]
    assert concepts.loc[["formal-sciences", "arts"], "shade"].to_list() == [1.0, 0.25]
    assert "10 pairs" in pairs.loc["mathematics", "hover"] and "50.0% of target" in pairs.loc["mathematics", "hover"]
    assert "no target yet" in pairs.loc["crafts", "hover"] and "0 of 2 disciplines started" in pairs.loc["earth", "hover"]


def test_kept_share_and_last_activity(frames):
    assert frames["kept"]["value"].dropna().to_dict() == {ALL: 0.6, "formal-sciences": 0.6, "mathematics": 0.6}
    activity = frames["activity"]
    assert activity["shade"].dropna().to_dict() == {ALL: 1, "formal-sciences": 1, "mathematics": 1, "arts": 0, "music": 0}
    assert "Kept share: 60.0%" in frames["kept"].loc["mathematics", "hover"]
    assert "Cost: none yet" in frames["money"].loc["mathematics", "hover"]


def items_by_id(frame, option, middle=ALL, levels=rings.LEVELS) -> dict[str, dict]:
    """The items of a picture by node."""
    return dict(zip(drawn_ids(frame, middle, levels)[1:], chart_items(option), strict=True))


def test_the_ends_of_the_ramp_of_times_differ(frames):
    frame = frames["activity"]

    def ends(frame):
        return [part["style"]["text"] for part in coverage_rings(frame, "activity", LIGHT)["graphic"][0]["children"][1:]]

    close = frame.assign(value=frame["value"].where(frame["value"].isna(), 900.0))
    assert ends(close)[0] == "earliest" and ends(close)[1].startswith("latest: ")
    assert ends(frame.assign(value=float("nan"))) == ["", ""]


def test_headings_of_tiles_are_one_line_and_other_names_are_wrapped():
    nodes = [Node("a", "Fields of knowledge", "field"), Node("b", "Parts of a field", "sub-field", "a"),
             Node("c", "Parts of a part", "sub-field", "b"), Node("d", "The smallest part", "discipline", "c"),
             Node("e", "Another discipline", "discipline", "a")]  # fmt: skip
    standing = Coverage("", {m: 0 for m in coverage.MEASURES}, 0, 0, 0, 0, None)
    frame = coverage_frame(tree_of(nodes), {"": standing} | {node.id: standing for node in nodes})

    def labels(middle=ALL):
        drawn = chart_labels(coverage_tiles(frame, "share", LIGHT, middle))
        return dict(zip(drawn_ids(frame, middle, tiles.LEVELS)[1:], drawn, strict=True))

    assert labels()["a"] == "Fields of knowledge" and labels()["b"] == "Parts of a field"
    assert labels()["c"] == "Parts of\na part" and labels()["e"] == "Another\ndiscipline"  # nothing is drawn inside c
    assert "d" not in labels() and labels("a")["c"] == "Parts of a part" and labels("a")["d"] == "The smallest\npart"


@THEMES
@pytest.mark.parametrize("measure", list(MEASURES))
@pytest.mark.parametrize(("draw", "levels"), [(coverage_rings, rings.LEVELS), (coverage_tiles, tiles.LEVELS)])
def test_a_picture_is_grey_where_there_is_nothing_and_on_the_ramp_elsewhere(frames, theme, measure, draw, levels):
    frame = frames[measure]
    option = draw(frame, measure, theme)
    bar, *ends = option["graphic"][0]["children"]
    assert [stop["color"] for stop in bar["style"]["fill"]["colorStops"]] == list(theme.ramp) and len(ends) == 2
    items = items_by_id(frame, option, ALL, levels)
    assert set(items) == set(frame["id"])
    for id, item in items.items():
        color = item["itemStyle"].get("color") or item["itemStyle"]["borderColor"]  # of a frame of tiles
        shade = frame.loc[id, "shade"]
        assert color == (theme.nothing if shade != shade else at(theme.ramp, shade))
        assert (item.get("upperLabel") or item["label"])["color"] == ink_on(color)
    parts = option["graphic"][0]["children"]
    assert all(part["style"]["fill"] == theme.muted for part in parts[1:])


def test_widths_of_leaves_add_up_to_those_of_the_groups(frames):
    frame = frames["share"]
    items = items_by_id(frame, coverage_rings(frame, "share", LIGHT))
    assert all(("value" in item) != ("children" in item) for item in items.values()), "ECharts adds the parts of a group up"
    assert {id: item["value"] for id, item in items.items() if item.get("value", 1) != 1} == {"mathematics": 3, "music": 3}
    assert sum(item.get("value", 0) for item in items.values()) == 9


def test_the_picked_sector_is_outlined_and_the_middle_is_not(frames):
    frame = frames["share"]

    def outlined(picked, draw=coverage_rings):
        items = items_by_id(frame, draw(frame, "share", LIGHT, "earth", picked), "earth")
        assert "earth" in items and "mathematics" not in items
        return [id for id, item in items.items() if item["itemStyle"]["borderColor"] == LIGHT.text]

    assert outlined("cave-mapping") == ["cave-mapping"] == outlined("cave-mapping", coverage_tiles)
    assert outlined("earth") == [] == outlined("mathematics")


def test_names_are_text_wrapped_and_cut():
    names = ["A & B", "<b>x</b>", "{b} of c", "Comparative historiography of very nearly everything", "x" * 90]
    nodes = [Node(f"n{number}", name, "field") for number, name in enumerate(names)]
    standing = Coverage("", {m: 0 for m in coverage.MEASURES}, 0, 0, 0, 0, None)
    frame = coverage_frame(tree_of(nodes), {"": standing} | {node.id: standing for node in nodes})
    for draw in (coverage_rings, coverage_tiles):
        option = draw(frame, "share", LIGHT)
        labels = chart_labels(option)
        assert labels[:4] == ["All knowledge", "A & B", "<b>x</b>", "\u2774b\u2775 of c"], "ECharts draws labels as text"
        assert all(len(label) <= 44 and label.endswith("…") for label in labels[4:])
        hovers = [item["tooltip"]["formatter"] for item in chart_items(option)]
        assert hovers[2].startswith("<b>&lt;b&gt;x&lt;/b&gt;</b><br>") and hovers[3].startswith("<b>&#123;b&#125; of c</b><br>")
        assert "no target yet" in hovers[2] and names[3] in hovers[4]
    [report] = coverage_sunburst(frame, "share", LIGHT).data[:1]
    assert list(report.labels)[:3] == ["All<br>knowledge", "A &amp; B", "&lt;b&gt;x&lt;/b&gt;"]
    assert report.labels[4].startswith("Comparative historiography<br>of") and "<br>no target yet" in report.customdata[1][1]


@pytest.mark.parametrize("number", [1, 3, 8, 20, 60, 400])
def test_labels_fit_into_their_sectors(number):
    names = ("Law", "Comparative historiography", "Mathematics", "Reproductive and sexual health", "数学", "x" * 60)
    nodes = [Node("f", "Fields of knowledge", "field")]
    nodes += [Node(f"n{n}", names[n % len(names)], "discipline", "f") for n in range(number)]
    standing = Coverage("", {m: 0 for m in coverage.MEASURES}, 0, 0, 0, 0, None)
    frame = coverage_frame(tree_of(nodes), {"": standing} | {node.id: standing for node in nodes})
    option = coverage_rings(frame, "share", LIGHT, "f")
    inner, outer = (float(option["series"][0]["levels"][2][side].strip("%")) * 310 / 100 for side in ("r0", "r"))
    shown = [item["label"] for item in chart_items(option) if item["label"]["show"]][1:]
    assert len(shown) == {400: 0}.get(number, number) or (number == 60 and shown)
    for label in shown:
        lines = label["formatter"].split("\n")
        wide, high = max(text_width(line, label["fontSize"]) for line in lines), label["lineHeight"] * len(lines)
        along, across = (wide, high) if label["rotate"] == "tangential" else (high, wide)
        assert label["fontSize"] >= 10 and across < outer - inner and along < 2 * pi * outer / number


def test_an_empty_taxonomy_is_one_grey_disc():
    standing = Coverage("", {m: 0 for m in coverage.MEASURES}, 0, 0, 0, 0, None)
    for measure in MEASURES:
        frame = coverage_frame(tree_of([]), {"": standing}, measure)
        [item] = chart_items(coverage_rings(frame, measure, DARK))
        assert item["itemStyle"]["color"] == DARK.nothing and drawn_ids(frame, ALL, rings.LEVELS) == [ALL, ALL]
        [item] = chart_items(coverage_tiles(frame, measure, DARK))
        assert item["itemStyle"]["color"] == DARK.nothing


def course() -> list[Session]:
    """Two sessions of two concepts; one name contains markup."""
    return [
        Session("s1", "y", 0, "First", "", (("a", "Alpha"), ("b", "<b>{c}</b>"))),
        Session("s2", "y", 1, "Second", "", (("c", "Gamma"), ("d", "Delta"))),
    ]


def test_concepts_are_joined_by_questions_about_two_sessions():
    drawn = [("pair", ("a", "c")), ("pair", ("c", "a", "b")), ("single", ("c", "d")), ("pair", ("a", "gone"))]
    nodes, edges = concept_frames(course(), {"a": 3, "c": 2}, drawn)
    assert nodes["id"].to_list() == ["a", "b", "c", "d"] and nodes["asked"].to_list() == [3, 0, 2, 0]
    assert {(e.source, e.target): e.questions for e in edges.itertuples()} == {("a", "c"): 2, ("b", "c"): 1}


@THEMES
def test_the_concept_graph_greys_what_nobody_asked_about_and_takes_names_as_text(theme):
    [series] = concept_graph(*concept_frames(course(), {"a": 3, "c": 2}, [("pair", ("a", "c"))]), theme)["series"]
    by_id = {node["id"]: node for node in series["data"]}
    assert by_id["b"]["itemStyle"]["color"] == by_id["d"]["itemStyle"]["color"] == theme.nothing
    assert by_id["a"]["symbolSize"] > by_id["c"]["symbolSize"] > by_id["d"]["symbolSize"]
    assert "<b>{" not in by_id["b"]["tooltip"]["formatter"] and "&lt;b&gt;&#123;c&#125;" in by_id["b"]["tooltip"]["formatter"]
    [link] = series["links"]
    assert (link["source"], link["target"]) == ("a", "c") and "1 question" in link["tooltip"]["formatter"]
    assert concept_graph(*concept_frames([], {}, []), theme)["series"][0]["data"] == []


# ---------------------------------------------------------------------------------------------------------------- style


@THEMES
def test_the_colours_are_those_of_the_app(theme):
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text())["theme"][theme.name]
    assert (theme.background, theme.text, theme.grid, theme.accent, theme.failure) == (
        config["backgroundColor"], config["textColor"], config["borderColor"], config["primaryColor"], config["redColor"]
    )  # fmt: skip
    assert list(theme.hues) == config["chartCategoricalColors"] and list(theme.ramp) == config["chartSequentialColors"]
    assert list(theme.groups) == list(GROUPS) and len(set(theme.hues)) == len(GROUPS)


def test_themes_by_name():
    assert style("dark") is DARK and style("light") is LIGHT and style(None) is LIGHT


@THEMES
def test_ink_can_be_read_on_every_shade(theme):
    shades = [at(theme.ramp, n / 50) for n in range(51)] + [theme.nothing]
    assert min(contrast(ink_on(color), color) for color in shades) >= READABLE
    assert contrast(theme.text, theme.background) >= 7 and contrast(theme.muted, theme.background) >= READABLE
    assert min(contrast(theme.as_text(hue), theme.background) for hue in (*theme.hues, theme.accent)) >= READABLE
    tints = [mix(theme.background, hue, 0.13) for hue in theme.hues]  # of the fields behind the radial tree
    assert min(contrast(theme.muted, tint) for tint in tints) >= READABLE


@THEMES
def test_the_ramp_goes_one_way(theme):
    lights = [contrast(at(theme.ramp, n / 50), "#000000") for n in range(51)]
    assert lights == sorted(lights, reverse=theme is LIGHT)
    assert (at(theme.ramp, 0), at(theme.ramp, 1)) == (theme.ramp[0], theme.ramp[-1])
    assert at(theme.ramp, -1) == theme.ramp[0] and at(theme.ramp, 9) == theme.ramp[-1]
    assert theme.scale[0] == (0.0, theme.ramp[0]) and theme.scale[-1] == (1.0, theme.ramp[-1])


def test_mixing():
    assert mix("#000000", "#FFFFFF", 0.5) == "#808080" and mix("#102030", "#FFFFFF", 0) == "#102030"


def test_names_are_broken_where_the_widest_line_is_narrowest_unless_they_are_very_long():
    assert wrapped("Early and ancient worlds", 2) == ("Early and", "ancient worlds")
    assert wrapped("Early and ancient worlds", 3) == ("Early and", "ancient", "worlds") and wrapped("Music", 3) == ("Music",)
    for length, lines in ((LONGEST, 2), (LONGEST + 1, 1)):
        assert len(wrapped("ab " * ((length - 1) // 3) + "a" * ((length - 1) % 3 + 1), 2)) == lines
