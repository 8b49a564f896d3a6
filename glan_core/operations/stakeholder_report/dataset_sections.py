"""Sections on the data: coverage of the taxonomy, the funnel of the dataset, and examples by field."""

from glan_core.dataset.quality_filter_job import RULES
from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.figures.coverage import coverage_frame
from glan_core.figures.coverage_sunburst import coverage_sunburst
from glan_core.figures.funnel import EXCLUDED, funnel_figure, funnel_frame
from glan_core.formatting import exact, number, percent, plural
from glan_core.generation import provenance
from glan_core.operations.stakeholder_report.html_blocks import (
    Html,
    Section,
    details,
    figure,
    heading,
    joined,
    missing,
    paragraph,
    table,
    text,
)
from glan_core.operations.stakeholder_report.model_text import model_html
from glan_core.operations.stakeholder_report.report_data import STYLE, ReportData, public_name
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import homework_rows, tag_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import PairFilter

CHECKS = {
    "filter": "Quality filters", "judge": "Quality judge", "dedup": "Near-duplicates", "decontaminate": "Benchmark overlap",
}  # fmt: skip
FINDINGS = {
    "exact": "exact duplicate", "near": "near duplicate", "meaning": "semantic duplicate", "judge": "low judge score",
    **{rule.name: rule.label for rule in RULES.values()},
}  # fmt: skip
MOST_DISCIPLINES, MOST_SNAPSHOTS = 200, 8
MOST_FIELDS, TWO_EACH = 24, 8  # fields with examples; up to so many fields have two each
MOST_QUESTION, MOST_ANSWER = 1200, 1600  # characters of an example


def coverage_section(data: ReportData) -> Section:
    """Return the coverage of the taxonomy: the sunburst, and the numbers by field and discipline."""
    whole = data.whole
    if not whole.disciplines:
        return Section(
            "coverage", "Coverage", (missing("The taxonomy has no disciplines yet: add or import one on the Taxonomy page."),)
        )
    covered = len(data.with_pairs)
    lead = (
        f"{plural(covered, 'discipline')} of {number(whole.disciplines)} ({percent(covered / whole.disciplines)}) have pairs; "
        + (f"{percent(whole.share)} of the target is reached." if whole.share is not None else "no target is set yet.")
    )
    fields = [node for node in hierarchy.walk(data.tree) if node.kind == "field"]
    rows = [(node.name, data.tree.nodes[node.id]["node"].group or "–", *_counts(data.coverages[node.id])) for node in fields]
    head = ("Field", "Group", "Disciplines", "Subjects", "Key concepts", "Pairs", "Target")
    below = [(data.name(id), _field(data, id), *_counts(data.coverages[id])[1:]) for id in data.with_pairs[:MOST_DISCIPLINES]]
    blocks = [
        paragraph(lead, "lead"),
        figure(
            coverage_sunburst(coverage_frame(data.tree, data.coverages, "share"), "share", STYLE), f"Taxonomy as rings: {lead}",
            "The taxonomy from fields (inner ring) to disciplines (outer ring). Color: answered pairs as a share of the target, as mean "
            "over the disciplines, 0% for those without a target. Point at a part for its numbers, click to zoom.",
        ),
        table(head, rows, align="llrrrrr", caption="Counts by field. Disciplines: with pairs, of all. Target: mean share reached."),
    ]  # fmt: skip
    if below:
        more = len(data.with_pairs) - len(below)
        listed = table(("Discipline", "Field", "Subjects", "Key concepts", "Pairs", "Target"), below, align="llrrrr")
        rest = [paragraph(f"and {number(more)} smaller ones.", "basis")] if more else []
        blocks.append(details(f"Numbers of {plural(len(below), 'discipline')} with pairs", joined([listed, *rest])))
    return Section("coverage", "Coverage", tuple(blocks))


def _counts(one: Coverage) -> tuple[str, ...]:
    counts = one.counts
    return (
        f"{one.begun} of {one.disciplines}", number(counts["subjects"]), number(counts["concepts"]), number(counts["pairs"]),
        "–" if one.share is None else percent(one.share),
    )  # fmt: skip


def _field(data: ReportData, discipline_id: str) -> str:
    return hierarchy.path(data.tree, discipline_id)[0].name


def funnel_section(data: ReportData) -> Section:
    """Return the funnel from questions to the dataset, the checks and the snapshots."""
    counts = data.counts
    if not counts["questions"]:
        return Section(
            "dataset", "Dataset", (missing("No questions yet: a run generates subjects, syllabi, questions and answers."),)
        )
    frame = funnel_frame(data.whole)
    kept, pairs = data.whole.kept, int(counts["pairs"])
    lead = f"{plural(kept, 'pair')} of {number(pairs)} are in the dataset" + (f" ({percent(kept / pairs)})." if pairs else ".")
    steps = [(row.words, number(row.left), number(row.out) if row.out else "–") for row in frame.itertuples()]
    blocks = [
        paragraph(lead, "lead"),
        figure(funnel_figure(frame, STYLE), f"Funnel: {lead}", "Rows left after each step; gray: rows removed by it. A pair with several "
               "findings counts once, for the first reason."),
        table(("Step", "Left", "Removed"), steps, align="lrr"),
        _checks(data),
    ]  # fmt: skip
    return Section("dataset", "Dataset", (*blocks, *_snapshots(data)))


def _checks(data: ReportData) -> Html:
    """Return which checks have run, on how many pairs, and what they found."""
    newest = homework_rows.last_seq(data.ws.db)
    rows = []
    for check, label in CHECKS.items():
        fact = data.ws.metadata(f"check:{check}")
        since = newest - fact.get("up_to", newest) if fact else 0
        state = (
            "not run"
            if not fact
            else exact(fact.get("at"))[:10] + (f"; about {number(since)} questions are newer" if since > 0 else "")
        )
        rows.append((label, state))
    found = [
        (EXCLUDED[kind].capitalize(), FINDINGS.get(name, name), number(tagged), number(overruled) if overruled else "–")
        for (kind, name), (tagged, overruled) in sorted(tag_rows.tag_counts(data.ws.db).items(), key=lambda item: -item[1][0])
    ]
    blocks = [heading("Checks"), table(("Check", "Last run"), rows, align="ll")]
    if found:
        caption = "Findings of the checks. Overruled: kept by a reviewer."
        blocks.append(table(("Reason", "Finding", "Pairs", "Overruled"), found, align="llrr", caption=caption))
    return joined(blocks)


def _snapshots(data: ReportData) -> list[Html]:
    found = list_snapshots(data.ws)
    rows = [
        (one.name, exact(one.created_at)[:10], number(one.rows.get("train", 0)), number(one.rows.get("validation", 0)),
         one.hash.removeprefix("sha256:")[:12])
        for one in found[:MOST_SNAPSHOTS]
    ]  # fmt: skip
    if not rows:
        return [missing("No snapshot yet: a snapshot freezes the dataset for training and release.")]
    caption = "Frozen datasets; the hash identifies their content." + (
        f" The newest {len(rows)} of {len(found)}." if len(found) > len(rows) else ""
    )
    return [
        heading("Snapshots"),
        table(("Snapshot", "Created", "Train", "Validation", "SHA-256"), rows, align="llrrl", caption=caption),
    ]


def examples_section(data: ReportData) -> Section:
    """Return one or two pairs per field, with their provenance."""
    fields = [node.id for node in hierarchy.walk(data.tree) if node.kind == "field" and data.coverages[node.id].kept]
    if not fields:
        return Section("examples", "Examples", (missing("No pairs in the dataset yet."),))
    fields.sort(key=lambda id: -data.coverages[id].kept)
    shown = fields[:MOST_FIELDS]
    each = 2 if len(shown) <= TWO_EACH else 1
    lead = (
        f"{'Two pairs' if each == 2 else 'One pair'} of each field in the dataset"
        + (f", for the {MOST_FIELDS} largest of {len(fields)} fields" if len(fields) > len(shown) else "")
        + ": the newest that a person kept in review, or else the newest."
    )
    blocks = [paragraph(lead, "lead")]
    for field_id in shown:
        pairs = _newest(data, field_id, each)
        if pairs:
            blocks += [heading(data.name(field_id)), *(_example(data, pair) for pair in pairs)]
    return Section("examples", "Examples by field", tuple(blocks))


def _newest(data: ReportData, field_id: str, most: int) -> list[Pair]:
    """Return the newest pairs of a field, of its largest disciplines and of different subjects, reviewed ones first."""
    ids = [id for id in hierarchy.disciplines_under(data.tree, field_id) if data.coverages[id].kept]
    ids.sort(key=lambda id: -data.coverages[id].kept)
    found: dict[str, Pair] = {}
    for id in (ids * most)[: max(most, 1)]:
        for review in ("keep", None) if data.coverages[id].counts["kept"] else (None,):
            page = homework_rows.pairs_page(data.ws.db, PairFilter((id,), review=review, dropped="in"), limit=40)
            fresh = [pair for pair in page if pair.answer and pair.question.id not in found]
            used = {pair.question.syllabus_id for pair in found.values()}
            if one := min(fresh, key=lambda pair: pair.question.syllabus_id in used, default=None):
                found[one.question.id] = one
                break
    return list(found.values())


def _example(data: ReportData, pair: Pair) -> Html:
    links = provenance.chain(data.ws, pair.question.id)
    trail = [
        link.title
        for link in links
        if link.what not in ("syllabus", "class session", "key concept", "question", "answer", "judgment")
    ]
    sessions = [link.title for link in links if link.what == "class session"]
    concepts = [link.title for link in links if link.what == "key concept"]
    crumbs = Html(' <span class="step">›</span> '.join(text(part) for part in trail))
    marks = [
        *(["scripted teacher"] if pair.scripted else []), *(["kept in review"] if pair.review == "keep" else []),
        *(["edited by a person"] if pair.edited else []),
    ]  # fmt: skip
    badges = "".join(f' <span class="badge">{text(mark)}</span>' for mark in marks)
    facts = (
        f"Class {'sessions' if len(sessions) > 1 else 'session'}: {', '.join(sessions)}. Key concepts: {', '.join(concepts)}. "
        f"Question by {public_name(pair.question.teacher)}, answer by {public_name(pair.answer_teacher or '–')}; ID {pair.question.id}."
    )
    return Html(
        f'<article class="pair"><div class="crumbs">{crumbs}{badges}</div>'
        f'<div class="columns"><div class="question"><div class="who">Question</div>{model_html(pair.question.text, MOST_QUESTION)}</div>'
        f'<div class="answer"><div class="who">Answer</div>{model_html(pair.answer or "", MOST_ANSWER)}</div></div>'
        f'<p class="basis provenance">{text(facts)}</p></article>'
    )
