"""Sections on the models: training runs with loss curves, and replies of base and tuned models side by side."""

from typing import NamedTuple

import pandas as pd

from glan_core.chat.conversations import answer_text
from glan_core.dataset.glan_test_store import GlanTestItem
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics
from glan_core.figures.training import compare_figure, loss_figure, steps_frame
from glan_core.formatting import duration, exact, number, plural, signed
from glan_core.models.model_specs import model_title, tuned_name
from glan_core.models.tuned_model_store import TunedModel
from glan_core.operations.stakeholder_report.html_blocks import Html, Section, details, figure, missing, paragraph, table, text
from glan_core.operations.stakeholder_report.model_text import model_html
from glan_core.operations.stakeholder_report.report_data import STYLE, JudgedMatch, ReportData, public_name
from glan_core.workspace import chat_rows, match_rows, training_rows

MOST_MODELS, MOST_CURVES = 12, 4
MOST_CONVERSATIONS, MOST_PROMPTS, MOST_TEXT = 20, 3, 1100
RESULTS = (("won", 1), ("tied", 0), ("lost", -1))


class Said(NamedTuple):
    """A reply with the name of its model and a note on it."""

    who: str
    reply: str
    note: str


def training_section(data: ReportData) -> Section:
    """Return the tuned models with their training data and losses, and the loss curves of the newest."""
    models = data.models
    if not models:
        return Section(
            "training",
            "Training",
            (missing("No tuned models yet: 'glan finetune' or the Train page trains one on a snapshot."),),
        )
    newest = models[0]
    trained = f"{plural(newest.rows, 'pair')} of snapshot {newest.snapshot}"
    lead = f"{plural(len(models), 'tuned model')}; the newest, {newest.name}, was trained on {trained}."
    caption = (
        "Validation loss: mean over held-out pairs of the snapshot (n), in nats per token; lower is better, comparable only for the same "
        "snapshot and tokenizer. Bits per byte are comparable between tokenizers."
        + (f" The newest {MOST_MODELS} of {len(models)}." if len(models) > MOST_MODELS else "")
    )
    head = (
        "Model",
        "Base",
        "Method",
        "Pairs",
        "Steps",
        "Training loss",
        "Validation loss",
        "n",
        "Bits per byte",
        "Time",
        "Trained",
    )
    rows = [_model_row(model) for model in models[:MOST_MODELS]]
    return Section(
        "training",
        "Training",
        (paragraph(lead, "lead"), *_curves(data), table(head, rows, align="lllrrrrrrrl", caption=caption)),
    )


def _model_row(model: TunedModel) -> tuple[str, ...]:
    method = "LoRA adapter" if model.form == "adapter" else "all weights"
    return (
        model.name, model.base_name or "from scratch", method, number(model.rows), number(model.steps),
        _loss(model.losses.get("train")), _loss(model.losses.get("validation")), number(model.held_out) if model.held_out else "–",
        _loss(model.bits_per_byte), duration(model.seconds), exact(model.created_at)[:10],
    )  # fmt: skip


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _curves(data: ReportData) -> list[Html]:
    frames: dict[str, pd.DataFrame] = {}
    for model in data.models:
        steps = training_rows.steps(data.ws.db, model.run_id, 400) if model.run_id is not None else []
        if steps and len(frames) < MOST_CURVES:
            frames[model.name] = steps_frame(steps)
    if not frames:
        return [missing("No training log is stored for these models.")]
    smoothed = "thin: training, exponentially averaged"
    if len(frames) == 1:
        (name,) = frames
        return [
            figure(
                loss_figure(frames[name], STYLE),
                "Loss curve",
                f"Loss of {next(iter(data.models)).name} by optimizer step: {smoothed} and raw; with markers: validation.",
            )
        ]
    drawn = compare_figure(frames, "step", STYLE, 380)
    caption = f"Loss of the newest {len(frames)} models by optimizer step. With markers: validation; {smoothed}."
    return [figure(drawn, "Loss curves", caption)]


def replies_section(data: ReportData) -> Section:
    """Return replies of a tuned model and its base on the same questions, the newest there are."""
    for judged in data.matches:
        if _tuned_and_base(judged.match.ours, judged.match.other) and (blocks := _match_replies(data, judged)):
            return Section("replies", "Base against tuned", tuple(blocks))
    if blocks := _chat_replies(data):
        return Section("replies", "Base against tuned", tuple(blocks))
    return Section("replies", "Base against tuned", (
        missing("No replies of a tuned model and its base to the same question yet: judge the two on a held-out test, or ask both on the Chat page."),
    ))  # fmt: skip


def _tuned_and_base(first: str, second: str) -> bool:
    """Return whether two models are a tuned model and its base."""
    name = tuned_name(first) or tuned_name(second)
    return name is not None and f"base:{name}" in (first, second)


def _match_replies(data: ReportData, judged: JudgedMatch) -> list[Html]:
    """Return a question that the tuned model won, tied and lost each, the first of the test: not the best ones."""
    match, ours_first = judged.match, tuned_name(judged.match.ours) is not None
    frame = judged.frame[judged.frame["difference"].notna()]
    items = {item.id: item for item in match_statistics.asked_items(data.ws, match)}
    answers = [match_rows.answers(data.ws.db, match.test, key) for key in (match.ours_key, match.other_key)]
    blocks: list[Html] = []
    for word, sign in RESULTS:
        signs = frame["difference"].map(lambda value: (value > 0) - (value < 0)) * (1 if ours_first else -1)
        for row in frame[signs == sign].head(1).to_dict("records"):
            scores = [(row[f"{side}_1"] + row[f"{side}_2"]) / 2 for side in ("ours", "other")]
            sides = [
                Said(title(spec), texts.get(row["item"], ""), f"score {score:.1f} of 10")
                for spec, texts, score in zip((match.ours, match.other), answers, scores, strict=True)
            ]
            item = items[row["item"]]
            difference = signed(row["difference"] if ours_first else -row["difference"])
            note = f"The tuned model {word} this question ({difference}). {_place(item)}"
            blocks.append(_side_by_side(item.question, sides if not ours_first else sides[::-1], note, item.reference))
    lead = (
        f"Answers of {title(match.ours)} and {title(match.other)} to held-out questions of the test {match.test_name} (n {number(len(frame))}, "
        f"judge {public_name(match.judge)}). One question each that the tuned model won, "
        "tied and lost, where there is one: the first of the test, not the best."
    )
    return [paragraph(lead, "lead"), *blocks] if blocks else []


def _place(item: GlanTestItem) -> str:
    return " › ".join([*item.taxonomy, *([item.subject] if item.subject else [])])


def _chat_replies(data: ReportData) -> list[Html]:
    """Return the newest turns of the chat that a tuned model and its base answered."""
    blocks: list[Html] = []
    for conversation in chat_rows.conversations(data.ws.db, limit=MOST_CONVERSATIONS):
        for turn in chat_rows.path_to(data.ws.db, conversation.head):
            replies = [one for one in chat_rows.replies(data.ws.db, turn.id, turn.version) if one.state == chat_rows.DONE]
            by_model = {one.model: one for one in replies}
            pair = next(
                ((f"base:{name}", spec) for spec in by_model if (name := tuned_name(spec)) and f"base:{name}" in by_model), None
            )
            if pair and len(blocks) < MOST_PROMPTS:
                sides = [Said(model_title(spec), answer_text(by_model[spec]), "") for spec in pair]
                blocks.append(
                    _side_by_side(
                        turn.prompt, sides, f"Conversation “{conversation.name}”, {exact(turn.at)[:10]}", turn.reference
                    )
                )
    return (
        [
            paragraph(
                "The newest prompts of the chat that a tuned model and its base answered; chosen by time, not by quality.",
                "lead",
            ),
            *blocks,
        ]
        if blocks
        else []
    )


def _side_by_side(question: str, sides: list[Said], note: str, reference: str | None) -> Html:
    cells = "".join(
        f'<div class="side"><div class="who">{text(said.who)} <span class="basis">{text(said.note)}</span></div>'
        f"{model_html(said.reply, MOST_TEXT) if said.reply.strip() else paragraph('(empty answer)', 'missing')}</div>"
        for said in sides
    )
    answer = details("Reference answer", model_html(reference, MOST_TEXT)) if reference else ""
    return Html(
        f'<article class="pair"><div class="crumbs">{text(note)}</div><div class="question"><div class="who">Question</div>'
        f'{model_html(question, MOST_TEXT)}</div><div class="sides">{cells}</div>{answer}</article>'
    )
