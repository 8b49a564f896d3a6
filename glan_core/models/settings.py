"""Settings of the jobs that merge and export tuned models."""

import re
from typing import Literal

from pydantic import field_validator

from glan_core.settings import Settings


class MergeSettings(Settings):
    """An order to merge the adapter of `model` into its base, as a model of its own called `name`."""

    model: str
    name: str
    kind: Literal["merge"] = "merge"


class ModelExportSettings(Settings):
    """An order to take a model away: copied with its card to the folder `path`, or sent to the Hugging Face Hub as `repo`
    ('owner/name'), for nobody else to see while `private`; `licence` is the identifier that the card gives."""

    model: str
    path: str | None = None
    repo: str | None = None
    private: bool = True
    licence: str | None = None
    kind: Literal["model-export"] = "model-export"

    @field_validator("repo")
    @classmethod
    def _repo(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value):
            raise ValueError("a model on the Hub is written as owner/name")
        return value

    @field_validator("licence")
    @classmethod
    def _licence(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,60}", value):
            raise ValueError("give the identifier of a licence, such as cc-by-4.0")
        return value
