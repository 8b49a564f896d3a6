"""Who answers a test: a model by its name, with a key that changes with its weights and with how it is asked.

Answers are kept under the key, so that no model is asked the same question twice: a second judge, another opponent or a larger
part of the test asks for what is missing.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from glan_core.evaluation.settings import REFERENCE
from glan_core.models.model_specs import Pane, pane_of, title_of
from glan_core.training.chat_encoding import find_file
from glan_core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """Somebody who answers: by name, for people by `title`; `pane` is None for the reference answers of a test."""

    spec: str
    title: str
    key: str
    pane: Pane | None

    @property
    def teacher(self) -> str:
        """The name under which calls are recorded and priced; weights of this machine cost nothing."""
        return (self.pane and self.pane.teacher) or f"local:{self.title}"


def answer_source(ws: Workspace, spec: str, temperature: float, tokens: int) -> AnswerSource:
    """Who a name stands for, asked so; GlanError when there is no such model."""
    if spec == REFERENCE:
        return AnswerSource(spec, title(spec), REFERENCE, None)
    pane = pane_of(ws, spec)
    asked = {"temperature": temperature, "tokens": tokens}
    if pane.teacher:
        told = {"teacher": pane.teacher, "address": pane.base_url}
    else:
        told = {"base": pane.base, "weights": _stamp(pane.base), "said": pane.said_hash, "adapter": bool(pane.adapter),
                "template": _template(pane)}  # fmt: skip
        if pane.adapter and not pane.said_hash:
            told["adapter_weights"] = _stamp(pane.adapter)
        if pane.said_hash and not pane.adapter:  # the files may move, the weights stay the same
            told["base"] = told["weights"] = ""
    digest = hashlib.sha256(json.dumps([told, asked], sort_keys=True).encode()).hexdigest()[:16]
    return AnswerSource(spec, title(spec), digest, pane)


def title(spec: str) -> str:
    """A model's name for people."""
    return "Reference answers" if spec == REFERENCE else title_of(spec)


def _stamp(place: str) -> list:
    """What changes when the weights of a folder do; nothing for a hub's name, which stays what it is."""
    folder = Path(place).expanduser()
    return [[file.name, file.stat().st_size, int(file.stat().st_mtime)] for file in sorted(folder.glob("*.safetensors"))]


def _template(pane: Pane) -> str:
    """The text of the chat template that a model is asked in, where it lies in a file of its own."""
    file = find_file(pane.tokenizer or pane.base, "chat_template.jinja")
    return file.read_text("utf-8") if file else ""
