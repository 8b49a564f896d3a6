"""Sections on the evaluation: judged comparisons with result cards, benchmarks, contamination probes and scaling studies."""

import pandas as pd

from glan_core.errors import GlanError
from glan_core.evaluation import model_ranking, scaling_job
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.benchmarks import score_frames
from glan_core.evaluation.benchmarks.registry import MAIN
from glan_core.evaluation.contamination import probe_frames
from glan_core.evaluation.contamination.verdict import LARGE, tokenizers_differ, verdicts
from glan_core.evaluation.judge import match_statistics, result_card
from glan_core.evaluation.judge.match_statistics import result_sentence
from glan_core.figures import benchmarks, contamination, judge_results, scaling
from glan_core.formatting import exact, number, percent, plural, signed
from glan_core.models.model_specs import model_title
from glan_core.operations.stakeholder_report.html_blocks import (
    Html,
    Section,
    definitions,
    details,
    figure,
    heading,
    items,
    missing,
    paragraph,
    table,
)
from glan_core.operations.stakeholder_report.report_data import MOST_MATCHES, STYLE, JudgedMatch, ReportData, public_name
from glan_core.workspace import benchmark_score_rows, probe_rows
from glan_core.workspace.benchmark_score_rows import Score
from glan_core.workspace.homework_rows import SCRIPTED

DRAWN_MATCHES = 3  # newest matches with figures
MOST_PARTS = 40
MOST_COLUMNS = 4  # models beside each other in a table
METHOD = (
    "A judge scores both answers from 1 to 10, once in each order. A question counts if it has both verdicts. The difference is the mean score "
    "of A minus that of B; its 95% interval is a bootstrap over questions, shares have Wilson intervals. A difference is stated only if the "
    "interval excludes 0."
)


def judge_section(data: ReportData) -> Section:
    """Return every comparison by a judge as a sentence with its card."""
    if not data.matches:
        return Section("judge", "Judged comparisons", (
            missing("No judged comparison yet: create a held-out test, then judge a tuned model against its base on the Evaluate page."),
        ))  # fmt: skip
    blocks = [paragraph(METHOD, "basis")]
    for nth, judged in enumerate(data.matches):
        blocks += _match(data, judged, drawn=nth < DRAWN_MATCHES)
    if (more := len(data.all_matches) - len(data.matches)) > 0:
        blocks.append(
            paragraph(
                f"{plural(more, 'further comparison')} not shown: older than the newest {MOST_MATCHES}, or their test was removed.",
                "basis",
            )
        )
    return Section("judge", "Judged comparisons", (*blocks, *_ranking(data)))


def _ranking(data: ReportData) -> list[Html]:
    """Return the ranking of all compared models; empty for two models without votes of people."""
    found = model_ranking.comparisons(data.ws)
    if len({model for one in found for model in (one.first, one.second)}) < 3 and not any(
        one.source == "votes" for one in found
    ):
        return []
    rows = [
        (str(row.rank), title(row.model), number(row.rating),
         "too few" if row.low is None or row.high is None else f"{number(row.low)} to {number(row.high)}", number(row.number))
        for row in model_ranking.rank_models(found)
    ]  # fmt: skip
    caption = (
        "Bradley-Terry ratings on the Elo scale from all judged questions and blind votes of people; a tie is half a win. Intervals: bootstrap over "
        "comparisons. Models whose intervals overlap share a rank."
    )
    head = ("Rank", "Model", "Rating", "95% interval", "Comparisons")
    blocks = [heading("Ranking"), table(head, rows, align="rlrrr", caption=caption)]
    same = model_ranking.agreement(found)
    if same.pairs:
        both = plural(len(same.pairs), "pair")
        parts = [
            f"{title(first)} vs {title(second)}: {percent(judges)} by judges (n {number(n)}), {percent(people)} by people (n {number(m)})"
            for first, second, judges, people, n, m in same.pairs[:4]
        ]
        said = f"Judges and people prefer the same model in {same.same} of {both} that both compared. Share won by the first model: "
        blocks.append(paragraph(f"{said}{'; '.join(parts)}.", "basis"))
    return blocks


def _match(data: ReportData, judged: JudgedMatch, *, drawn: bool) -> list[Html]:
    card, match = judged.card, judged.match
    ours, other = title(match.ours), title(match.other)
    blocks = [
        heading(f"{ours} vs {other}"),
        paragraph(result_sentence(ours, other, card.outcome), "result"),
        items(result_card.limits(card), "limits"),
        definitions([*((label, public_name(value)) for label, value in result_card.card_rows(card)), ("Judged on", exact(match.at)[:10])]),
    ]  # fmt: skip
    if card.undisputed:
        blocks.append(paragraph(f"Without disputed questions: {result_sentence(ours, other, card.undisputed)}", "basis"))
    column = "field" if judged.frame["field"].nunique() > 1 else "discipline"
    parts = match_statistics.outcomes_by(judged.frame, column)
    if drawn and len(parts[parts["judged"] > 0]) > 1:
        names = {id: data.name(id) for id in parts["discipline"]} if column == "discipline" else None
        figure_of_parts = judge_results.difference_bars(parts, column, STYLE, names)
        caption = (
            f"Mean score difference, {ours} − {other}, by {column}; 95% intervals from {match_statistics.TRUSTED} questions on."
        )
        blocks.append(figure(figure_of_parts, f"Score difference by {column}", caption))
    if drawn and (aspects := match_statistics.scores_by_aspect(data.ws, match)):
        caption = f"Mean scores by aspect over the verdicts on {plural(card.outcome.judged, 'question')}, both orders."
        blocks.append(figure(judge_results.aspect_figure(aspects, ours, other, STYLE), "Scores by aspect", caption))
    rows = [_part(row) for row in card.disciplines.head(MOST_PARTS).to_dict("records")]
    if len(rows) > 1:
        head = ("Discipline", "n", "A − B", "95% interval", "Won", "Tied", "Lost")
        blocks.append(details(f"Results of {plural(len(rows), 'discipline')}", table(head, rows, align="lrrrrrr")))
    return blocks


def _part(row: dict) -> tuple[str, ...]:
    known = row["low"] is not None and row["low"] == row["low"]
    return (
        str(row["name"]), number(row["judged"]), signed(row["difference"]), f"{signed(row['low'])} to {signed(row['high'])}" if known else "too few",
        number(row["wins"]), number(row["ties"]), number(row["losses"]),
    )  # fmt: skip


def benchmark_section(data: ReportData) -> Section:
    """Return the scores of all models on all benchmarks, with intervals and settings."""
    found = benchmark_score_rows.scores(data.ws.db, parts=False)
    if not found:
        return Section(
            "benchmarks",
            "Benchmarks",
            (missing("No benchmark scores yet: run benchmarks on the Evaluate page or with 'glan evaluate bench'."),),
        )
    rows = score_frames.whole_rows(score_frames.scores_frame(found))
    models = sorted(set(rows["model"]), key=lambda model: (model.split(":", 1)[-1], model))
    titles = {model: model_title(model) for model in models}
    drawn = benchmarks.scores_figure(rows, titles, STYLE)
    caption = f"Accuracy or pass@1 in percent with 95% Wilson intervals; higher is better. {_settings(found)}"
    return Section(
        "benchmarks", "Benchmarks", (figure(drawn, "Benchmark scores", caption), *_mixed(found), _scores(rows, titles))
    )


def _scores(rows: pd.DataFrame, titles: dict[str, str]) -> Html:
    """Return the scores as a table: a column per model if there are few, else a row per score."""
    caption = f"Score in percent (95% interval), n rows. Fewer than {score_frames.FEWEST} rows are too few to compare."
    records = rows.to_dict("records")
    if len(titles) > MOST_COLUMNS:
        cells = [(row["row"], titles[row["model"]], _score(row), _number(row)) for row in records]
        return table(("Benchmark", "Model", "Score", "n"), cells, align="llrr", caption=caption)
    by_model = {(row["row"], row["model"]): row for row in records}
    lines = []
    for label in dict.fromkeys(rows["row"]):
        own = [by_model.get((label, model)) for model in titles]
        counts = list(dict.fromkeys(_number(row) for row in own if row))
        lines.append((label, *(_score(row) if row else "–" for row in own), " / ".join(counts)))
    return table(("Benchmark", *titles.values(), "n"), lines, align="l" + "r" * len(titles) + "r", caption=caption)


def _score(row: dict) -> str:
    between = f" ({row['low']:.1f} to {row['high']:.1f})" if row["low"] == row["low"] else ""
    return f"{row['score']:.1f}{between}"


def _number(row: dict) -> str:
    return number(row["number"]) + (" (too few)" if row["number"] < score_frames.FEWEST else "")


def _settings(found: list[Score]) -> str:
    newest = max(found, key=lambda score: score.at)
    limit = f"the first {number(newest.about['limit'])} rows per benchmark" if newest.about.get("limit") else "all rows"
    asked = "with the model's chat template" if newest.about.get("template") else "without a chat template"
    return f"Newest scores: {exact(newest.at)[:10]}, {limit}, {asked}, lm-eval {newest.about.get('lm_eval', '–')}."


def _mixed(found: list[Score]) -> list[Html]:
    """Return a warning if the newest scores of a benchmark were computed with different settings."""
    compared: dict[tuple, dict[str, str]] = {}
    for score in sorted((one for one in found if one.part == MAIN), key=lambda score: score.at):
        settings = {name: value for name, value in score.about.items() if name not in ("base", "max_tokens")}
        compared.setdefault((score.benchmark, score.way), {})[score.model] = benchmark_score_rows.settings_json(settings)
    mixed = sorted({benchmark for (benchmark, _), by_model in compared.items() if len(set(by_model.values())) > 1})
    return (
        [items([f"{', '.join(mixed)}: scores were computed with different settings or data and are not comparable."], "limits")]
        if mixed
        else []
    )


def contamination_section(data: ReportData) -> Section:
    """Return the contamination probes with their verdicts."""
    found = probe_rows.latest(probe_rows.probes(data.ws.db))
    if not found:
        return Section("contamination", "Contamination", (
            missing("No contamination probe yet: it compares a model's loss on the training and test split of a benchmark."),
        ))  # fmt: skip
    blocks = [paragraph(
        "A model that was trained on a split finds its texts easier. The delta is the loss on the test split minus that on the training "
        f"split, in percent of the former; above 0 with an interval that excludes 0, and at least {LARGE:g}%, the training split was seen.", "basis",
    )]  # fmt: skip
    for name in dict.fromkeys(row.name for row in found):
        rows = [row for row in found if row.name == name]
        frame = probe_frames.probe_frame(rows)
        said = verdicts(rows)
        numbers = [
            (row.model, f"{row.loss_train:.3f}", f"{row.loss_test:.3f}", "–" if row.loss_alike != row.loss_alike else f"{row.loss_alike:.3f}",
             f"{row.delta_percent:+z.1f}", f"{row.low:+z.1f} to {row.high:+z.1f}" if row.low == row.low else "too few", _split_rows(probe))
            for row, probe in zip(frame.itertuples(), rows, strict=True)
        ]  # fmt: skip
        drawn = frame
        blocks += [
            heading(name),
            items([f"{one.said} {one.numbers}".strip() for one in said], "verdicts"),
            figure(contamination.probe_figure(drawn, STYLE, LARGE), f"Losses on the splits of {name}",
                   f"Left: mean loss on each split. Right: delta with its 95% bootstrap interval; dotted: {LARGE:g}%."),
            table(("Model", "Train", "Test", "Look-alikes", "Delta, %", "95% interval", "Rows"), numbers, align="lrrrrrl",
                  caption="Mean loss in nats per token."),
        ]  # fmt: skip
        notes = ["The tokenizers of these models differ: compare deltas, not losses."] if tokenizers_differ(rows) else []
        if set(SCRIPTED) & {
            teacher for row in rows for teacher in row.about.get("files", {}).get("alike", {}).get("written_by", ())
        }:
            notes.append("The look-alikes were written by the scripted teacher, for demonstration only.")
        blocks.append(items(notes, "limits"))
    return Section("contamination", "Contamination", tuple(blocks))


def _split_rows(row: probe_rows.ProbeRow) -> str:
    splits = row.about.get("splits", {})
    return " + ".join(number(splits[role]["rows"]) for role in ("train", "test", "alike") if role in splits)


def scaling_section(data: ReportData) -> Section | None:
    """Return the newest scaling study, None if there is none."""
    settings, _ = next(iter(scaling_job.list_studies(data.ws)), (None, 0))
    if settings is None:
        return None
    try:
        found = scaling_job.study_points(data.ws, settings)
    except GlanError:
        return None
    if not any(point.loss is not None for point in found):
        return None
    curve = scaling_job.loss_curve(found)
    few = (
        " Too few points for a reliable fit."
        if sum(point.loss is not None for point in found) < scaling_job.FEWEST_FOR_LAW
        else ""
    )
    fit = f" Fit by least squares: {curve.formula}, R² {curve.r2:.2f}.{few}" if curve else ""
    rows = [
        (number(p.rows), p.model, "–" if p.loss is None else f"{p.loss:.3f}", signed(p.difference),
         "–" if p.low is None else f"{signed(p.low)} to {signed(p.high)}", number(p.judged) if p.judged else "–")
        for p in found
    ]  # fmt: skip
    return Section("scaling", "Scaling study", (
        figure(scaling.loss_figure(found, curve, STYLE), "Validation loss by training rows",
               f"Study {settings.name}: validation loss of models trained on nested subsets of snapshot {settings.finetune['snapshot']}.{fit}"),
        table(("Rows", "Model", "Validation loss", "Difference", "95% interval", "Judged"), rows, align="rlrrrr"),
    ))  # fmt: skip
