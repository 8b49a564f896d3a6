"""Form fields generated from settings classes: labels, tooltips, bounds and defaults, and that the Train form uses them."""

import ast
import inspect
from typing import Literal

import pytest
from pydantic import Field

from glan_core.dataset.settings import RowSelection
from glan_core.generation.settings import GenerationSettings, Target, TeacherSettings
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.settings import Settings, field_of
from glan_core.training.settings import FinetuneSettings, Scratch
from pages.components.shared import settings_fields
from pages.components.train import form

WIDGETS = ("number_input", "text_input", "text_area", "selectbox", "toggle", "segmented_control", "slider")


class Example(Settings):
    """Settings with every kind of bound."""

    plain: str = Field("x", title="Plain", description="A name.")
    above: int = Field(3, gt=0, lt=10, title="Above")
    ratio: float = Field(0.5, gt=0, lt=1, title="Ratio", description="A ratio.")
    optional: int | None = Field(None, ge=1, title="Max length", description="Longest.", json_schema_extra={"unit": "tokens"})
    named: int = Field(1, title="Max tokens", json_schema_extra={"unit": "tokens"})
    choice: Literal["b", "a"] = "b"
    untitled_field: int = 1
    nested: Scratch = Scratch()


def test_the_label_is_the_title_with_the_unit_that_it_does_not_name_itself():
    assert settings_fields.label(Example, "plain") == "Plain"
    assert settings_fields.label(Example, "optional") == "Max length (tokens)"
    assert settings_fields.label(Example, "named") == "Max tokens"
    assert settings_fields.label(Example, "untitled_field") == "Untitled field"
    assert settings_fields.label(Example, "nested.vocabulary") == "Vocabulary size (tokens)"


def test_a_sentence_of_the_page_follows_the_description():
    assert settings_fields.text(Example, "plain") == {"label": "Plain", "help": "A name."}
    assert settings_fields.text(Example, "plain", note="One per line.")["help"] == "A name. One per line."


def test_exclusive_bounds_move_by_one_step():
    assert settings_fields.number(Example, "above") == {"label": "Above", "help": "", "min_value": 1, "max_value": 9}
    stepped = settings_fields.number(Example, "ratio", step=0.05)
    assert (stepped["min_value"], stepped["max_value"], stepped["step"]) == (0.05, 0.95, 0.05)
    validated = settings_fields.number(Example, "ratio")
    assert (validated["min_value"], validated["max_value"]) == (0.0, 1.0) and "step" not in validated
    assert settings_fields.number(Example, "optional")["min_value"] == 1
    assert settings_fields.number(Example, "above", step=5) | {"min_value": 5, "max_value": 5, "step": 5} == (
        settings_fields.number(Example, "above", step=5)
    )


def test_a_share_is_shown_in_percent():
    field = settings_fields.percent(Example, "ratio")
    assert field == {"label": "Ratio (%)", "help": "A ratio.", "min_value": 1, "max_value": 99, "step": 1}
    assert [type(settings_fields.percent(Example, "ratio", step=step)["min_value"]) for step in (5, 0.5)] == [int, float]


def test_choices_and_defaults():
    assert settings_fields.choices(Example, "choice") == ["b", "a"]
    assert (settings_fields.default(Example, "above"), settings_fields.default(Example, "nested")) == (3, Scratch())


@pytest.mark.parametrize(
    ("settings_type", "name", "expected"),
    [
        (FinetuneSettings, "epochs", {"label": "Epochs", "min_value": 0.0, "max_value": 1000.0}),
        (FinetuneSettings, "max_length", {"label": "Max length (tokens)", "min_value": 16, "max_value": 131_072}),
        (Target, "subject_queries", {"label": "Subject queries", "min_value": 1, "max_value": 1000}),
        (TeacherSettings, "budget_usd", {"label": "Budget (USD)", "min_value": 0.0}),
        (SeededDecodingParams, "max_tokens", {"label": "Max new tokens", "min_value": 1, "max_value": 32_768}),
        (SeededDecodingParams, "seed", {"label": "Seed", "min_value": 0, "max_value": 2**31 - 1}),
        # A browser has no exact integers beyond 2**53; Streamlit refuses them as bounds.
        (GenerationSettings, "seed", {"label": "Seed", "min_value": 0, "max_value": 2**31 - 1}),
    ],
)  # fmt: skip
def test_fields_of_settings(settings_type, name, expected):
    field = settings_fields.number(settings_type, name)
    assert field.pop("help") == field_of(settings_type, name).description and field == expected


def test_the_validation_share_and_the_two_session_share_in_percent():
    share = settings_fields.percent(RowSelection, "validation_share")
    assert (share["label"], share["min_value"], share["max_value"]) == ("Validation share (%)", 1, 99)
    pairs = settings_fields.percent(GenerationSettings, "pair_share", step=5)
    assert (pairs["label"], pairs["min_value"], pairs["max_value"], pairs["step"]) == ("Two-session share (%)", 0, 100, 5)


def test_every_widget_of_the_train_form_takes_its_label_from_the_settings():
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(form))) if isinstance(node, ast.Call)]
    widgets = [
        call for call in calls if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "st" and call.func.attr in WIDGETS
    ]  # fmt: skip
    assert len(widgets) >= 15
    typed = [ast.unparse(widget) for widget in widgets if any(isinstance(argument, ast.Constant) for argument in widget.args)]
    named = [ast.unparse(widget) for widget in widgets if {"label", "help"} & {keyword.arg for keyword in widget.keywords}]
    assert not typed and not named, "a label or tooltip that the settings class does not declare"
