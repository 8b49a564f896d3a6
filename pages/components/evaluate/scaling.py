"""Scaling view: loss and score against the number of training rows, and the form of a study."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.errors import GlanError
from glan_core.evaluation import scaling_job
from glan_core.evaluation.scaling_job import Curve, Point
from glan_core.evaluation.scaling_plan import StudyPlan, plan_study
from glan_core.evaluation.settings import PairwiseJudgeSettings, ScalingSettings
from glan_core.figures.scaling import loss_figure, score_figure
from glan_core.formatting import durations, money, number, plural, short, shorten
from glan_core.ids import slug
from glan_core.models.tuned_model_store import list_models
from glan_core.settings import read_settings
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace
from pages.components.dataset import row_choice
from pages.components.shared import job_panel, page_frame, plain_table, settings_fields, teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error

SHARES = ", ".join(f"{100 * share:g}" for share in settings_fields.default(ScalingSettings, "shares"))
PICKED = "run_scaling_study"
NO_TEST = "validation loss only"


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the selected study and the form for a new one."""
    busy = job_panel.show_progress(ws, "scaling")
    if not busy:
        row_choice.last_result(ws, "scaling")
    found = scaling_job.list_studies(ws)
    left, right = page_frame.main_and_detail("scaling")
    with left:
        if found:
            _study(ws, [settings for settings, _ in found])
        else:
            st.info(
                "No studies yet. A study trains one recipe on nested subsets of a snapshot and fits curves of loss and score against the "
                "number of rows, to show whether more data would help.", icon=":material/stacked_line_chart:",
            )  # fmt: skip
    with right:
        if not ws.read_only:
            _form(ws, busy=busy)


def _study(ws: Workspace, studies: list[ScalingSettings]) -> None:
    names = [settings.name for settings in studies]
    if st.session_state.get(PICKED) not in names:
        st.session_state[PICKED] = names[0]
    name = st.selectbox("Study", names, key=PICKED, label_visibility="collapsed", width=340)
    settings = studies[names.index(name)]
    try:
        found = scaling_job.study_points(ws, settings)
    except GlanError as error:
        show_error(error)
        return
    loss, score = scaling_job.loss_curve(found), scaling_job.score_curve(found)
    with st.grid(2, gap="small", min_column_width=300):
        _picture("loss", found, loss, there=any(point.loss is not None for point in found))
        _picture("score", found, score, there=any(point.difference is not None for point in found))
    _table(found)
    recipe = RECIPES[settings.finetune["recipe"]].label if settings.finetune.get("recipe") in RECIPES else "custom settings"
    beside = (
        ""
        if settings.judge is None
        else f" Scores: vs {settings.judge.get('other', 'reference')}, judged by {settings.judge.get('teacher', 'scripted')}."
    )
    st.caption(escape(f"Snapshot {settings.finetune['snapshot']}, recipe {recipe}, nested subsets.{beside}"))


def _picture(what: str, found: list[Point], curve: Curve | None, *, there: bool) -> None:
    with st.container():
        if not there:
            st.caption("No validation loss yet." if what == "loss" else "Not judged.")
            return
        draw = loss_figure if what == "loss" else score_figure
        st.plotly_chart(
            draw(found, curve, page_frame.figure_style()), key=f"scaling_{what}", config={"displayModeBar": False},
            alt=f"{what.capitalize()} against training rows; the values are in the table Results by subset",
        )  # fmt: skip
        if curve:
            few = (
                " Too few points for a reliable fit."
                if sum(point.loss is not None for point in found) < scaling_job.FEWEST_FOR_LAW
                else ""
            )
            st.caption(
                f"Fit: {escape(curve.formula)}, R² {curve.r2:.2f}.{few}",
                help="Least squares; n is the number of training rows.",
            )


def _table(found: list[Point]) -> None:
    plain_table.draw(
        pd.DataFrame({
            "rows": [p.rows for p in found], "model": [p.model for p in found], "loss": [p.loss for p in found],
            "difference": [p.difference for p in found],
            "interval": [None if p.low is None else f"{p.low:+.2f} to {p.high:+.2f}" for p in found],
            "judged": [p.judged or None for p in found],
        }),
        hide_index=True, placeholder="–", alt="Results by subset",
        column_config={
            "rows": st.column_config.NumberColumn("Rows", format="localized", width=70),
            "model": st.column_config.TextColumn("Model", width=140),
            "loss": st.column_config.NumberColumn("Validation loss", format="%.3f", width=100),
            "difference": st.column_config.NumberColumn("Difference", format="%+.2f", width=85),
            "interval": st.column_config.TextColumn("95% interval", width=120, alignment="right"),
            "judged": st.column_config.NumberColumn("Judged", format="localized", width=65),
        },
    )  # fmt: skip


def _form(ws: Workspace, *, busy: bool) -> None:
    """Draw snapshot, recipe, subsets and judge, with the start button."""
    st.markdown("**Plan a study**")
    snapshots = {one.name: one for one in list_snapshots(ws)}
    if not snapshots:
        st.caption("A study trains on a snapshot and measures on its validation split. No snapshots yet.")
        if st.button("Create snapshot", type="primary", icon=":material/photo_camera:"):
            st.session_state.dataset_view = "Snapshots"
            url_state.open_page("pages/dataset.py")
        return
    if st.session_state.get("run_scaling_snapshot") not in snapshots:
        st.session_state.run_scaling_snapshot = next(iter(snapshots))
    snapshot = st.selectbox(
        options=list(snapshots), key="run_scaling_snapshot", **settings_fields.text(FinetuneSettings, "snapshot")
    )
    alike = {f"like:{model.name}": model for model in list_models(ws) if not model.merged_from}
    recipe = st.selectbox(
        options=[*RECIPES, *alike], key="run_scaling_recipe",
        format_func=lambda r: f"as model {alike[r].name}" if r in alike else f"recipe {RECIPES[r].label}",
        **settings_fields.text(ScalingSettings, "finetune", note="A recipe with its defaults, or all settings of a tuned model."),
    )  # fmt: skip
    settings = dict(alike[recipe].settings) if recipe in alike else {"recipe": recipe, **RECIPES[recipe].values}
    with st.grid(2, gap="small", min_column_width=120):
        name = st.text_input(
            key="run_scaling_name", placeholder=_free_name(ws), **settings_fields.text(ScalingSettings, "name")
        )
        shares = st.text_input(
            settings_fields.label(ScalingSettings, "shares", "%"), key="run_scaling_shares", placeholder=SHARES,
            help=settings_fields.text(ScalingSettings, "shares")["help"],
        )  # fmt: skip
    test = st.selectbox(
        settings_fields.label(PairwiseJudgeSettings, "test"),
        [*(one.name for one in list_tests(ws)), NO_TEST],
        key="run_scaling_test",
    )
    judge = None
    if test != NO_TEST:
        per = st.number_input(
            value=None,
            key="run_scaling_questions",
            placeholder="all",
            **settings_fields.number(PairwiseJudgeSettings, "questions"),
        )
        teacher = teacher_form.fields("run_scaling_judge", stage="verdict")
        if teacher is None:
            return
        judge = {"test": test, **{name: value for name, value in (teacher | {"questions": per}).items() if value is not None}}
        st.caption("Judged against the test's reference answers, the same opponent for every subset.")
    try:
        values = {"name": slug(name) if name.strip() else _free_name(ws), "finetune": settings | {"snapshot": snapshot},
                  "shares": _shares(shares or SHARES), "judge": judge}  # fmt: skip
        settings = read_settings(ScalingSettings, values)
        finetunes = scaling_job.check_study(ws, settings)
        made = plan_study(ws, settings)
    except GlanError as error:
        show_error(error)
        return
    sizes = ", ".join(number(tune.rows) for tune in finetunes)
    st.caption(f"{plural(len(finetunes), 'model')} on {sizes} rows, trained one after the other as separate runs.")
    with st.grid(4, gap="small", min_column_width=90):
        st.metric(
            "Steps", short(made.steps), help=f"{number(made.steps)} optimizer steps of {plural(made.models, 'model')} to train."
        )
        st.metric("Calls", short(made.calls), help=f"{number(made.calls)} answers and verdicts, if none is stored yet.")
        st.metric("Price", money(made.usd))
        st.metric("Time", _time(made) or "–", help=_time_words(made))
    label = f"Start study · {plural(len(finetunes), 'model')}" + (f" · {_time(made)}" if _time(made) else "")
    st.button(
        label, type="primary", icon=":material/stacked_line_chart:", key="start_scaling", disabled=busy, on_click=_begin, args=(ws, settings)
    )  # fmt: skip


def _time(made: StudyPlan) -> str:
    """Return the time of a study, '40 s to 2 min + judging' if only that of training is known, '' if neither is."""
    if made.seconds:
        return durations(made.seconds)
    return f"{durations(made.training_seconds)} + judging" if made.training_seconds else ""


def _time_words(made: StudyPlan) -> str:
    """Return what the time of a study consists of."""
    parts = [
        f"training {durations(made.training_seconds)} ({made.basis})"
        if made.training_seconds
        else "the time of training is unknown"
    ]
    if made.calls:
        parts.append(
            f"judging {durations(made.judging_seconds)}"
            if made.judging_seconds
            else "the time of judging is known after the first calls"
        )
    return "; ".join(parts).capitalize() + "."


def _begin(ws: Workspace, settings: ScalingSettings) -> None:
    job_panel.start_jobs(ws, settings, title=f"Scaling study {shorten(settings.name, 40)}")
    st.session_state.run_scaling_name = ""
    st.session_state.pop(PICKED, None)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) / 100 for part in text.replace("%", "").replace(";", ",").split(",") if part.strip())
    except ValueError:
        raise GlanError(f"Subset sizes: {text!r} are not numbers. Enter percentages such as {SHARES}.") from None


def _free_name(ws: Workspace) -> str:
    existing_names = {settings.name for settings, _ in scaling_job.list_studies(ws)}
    return next(name for n in range(1, len(existing_names) + 2) if (name := f"study-{n}") not in existing_names)
