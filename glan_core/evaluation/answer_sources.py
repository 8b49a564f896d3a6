"""Answer sources: models that answer a test, with a key that changes with their weights and decoding parameters.

Answers are stored under the key, so no model is asked the same question twice: another judge, opponent or larger sample
requests only missing answers.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from glan_core.evaluation.settings import REFERENCE
from glan_core.models.model_specs import ResolvedModel, model_title, resolve_model
from glan_core.teachers.contract import DecodingParams
from glan_core.training.chat_encoding import find_model_file
from glan_core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """A model that answers a test, or its reference answers.

    Attributes:
        spec: Model specification.
        title: Display name.
        key: Key under which answers are stored.
        pane: Resolved model, None for reference answers.
    """

    spec: str
    title: str
    key: str
    pane: ResolvedModel | None

    @property
    def teacher(self) -> str:
        """Name under which calls are recorded and priced; local weights cost nothing."""
        return self.pane.teacher if self.pane and self.pane.teacher else f"local:{self.title}"

    @property
    def model(self) -> ResolvedModel:
        """The resolved model.

        Raises:
            ValueError: If the source is the reference answers.
        """
        if self.pane is None:
            raise ValueError("reference answers have no model")
        return self.pane


def answer_source(ws: Workspace, spec: str, decoding: DecodingParams) -> AnswerSource:
    """Resolve a model and compute its answer key.

    Args:
        ws: Workspace.
        spec: Model specification or 'reference'.
        decoding: Decoding parameters of the answers.

    Raises:
        GlanError: If the model does not exist.
    """
    if spec == REFERENCE:
        return AnswerSource(spec, title(spec), REFERENCE, None)
    pane = resolve_model(ws, spec)
    asked = {"temperature": decoding.temperature, "tokens": decoding.max_tokens}
    asked |= {"top_p": decoding.top_p} if decoding.top_p != 1 else {}  # keys of earlier releases had no top-p
    identity: dict[str, object]
    if pane.teacher:
        identity = {"teacher": pane.teacher, "address": pane.base_url}
    else:
        identity = {"base": pane.base, "weights": _stamp(pane.base), "said": pane.said_hash, "adapter": bool(pane.adapter),
                    "template": _template(pane)}  # fmt: skip
        if pane.adapter and not pane.said_hash:
            identity["adapter_weights"] = _stamp(pane.adapter)
        if pane.said_hash and not pane.adapter:  # the key follows the recorded hash, so the files may move
            identity["base"] = identity["weights"] = ""
    digest = hashlib.sha256(json.dumps([identity, asked], sort_keys=True).encode()).hexdigest()[:16]
    return AnswerSource(spec, title(spec), digest, pane)


def title(spec: str) -> str:
    """Return the display name of a model or of the reference answers."""
    return "Reference answers" if spec == REFERENCE else model_title(spec)


def _stamp(place: str) -> list:
    """Return a value that changes with the weights in a folder; empty for a Hub ID."""
    folder = Path(place).expanduser()
    return [[file.name, file.stat().st_size, int(file.stat().st_mtime)] for file in sorted(folder.glob("*.safetensors"))]


def _template(pane: ResolvedModel) -> str:
    """Return the chat template of a model if it is a separate file, else ''."""
    file = find_model_file(pane.tokenizer or pane.base, "chat_template.jinja")
    return file.read_text("utf-8") if file else ""
