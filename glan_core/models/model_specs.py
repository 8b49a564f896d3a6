"""What can be talked to, and by which name: `tuned:NAME`, `base:NAME`, `local:PATH`, `openai:MODEL`, `openai:MODEL@ADDRESS` or
`scripted`."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from glan_core.errors import GlanError
from glan_core.models.tuned_model_store import list_models, read_model
from glan_core.settings import Settings
from glan_core.teachers.http_teacher import endpoint
from glan_core.workspace import Workspace

MOST_PANES = 4
SCRIPTED = "scripted"
FORMS = "tuned:NAME, base:NAME, local:PATH, openai:MODEL, openai:MODEL@ADDRESS or scripted"


class Pane(Settings):
    """One model that answers. Either weights: `base` is a folder or hub name, `adapter` the folder of a LoRA adapter to it or
    '', `tokenizer` the folder whose tokenizer and chat template are used; or a `teacher` at `base_url`. `snapshot` is what a
    tuned model learned from, `said_hash` what is noted of its weights since then."""

    spec: str
    base: str = ""
    adapter: str = ""
    tokenizer: str = ""
    teacher: str = ""
    base_url: str | None = None
    snapshot: str = ""
    said_hash: str = ""


class SeededDecodingParams(Settings):
    """How answers are drawn. Temperature 0 takes the likeliest token; the same `seed` repeats an answer of local weights
    (endpoints draw on their own)."""

    temperature: float = Field(0.7, ge=0, le=5, title="Temperature", description="Sampling temperature; 0 is greedy decoding.")
    top_p: float = Field(0.95, gt=0, le=1, title="Top-p", description="Nucleus sampling threshold.")
    max_tokens: int = Field(
        512, ge=1, le=32_768, title="Max new tokens", description="Longest reply.", json_schema_extra={"unit": "tokens"}
    )
    seed: int = Field(0, ge=0, lt=2**31, title="Seed", description="Seed of sampling; endpoints sample with their own.")


class Kept(Settings):
    """Where the model process stores what it writes: a turn's version in the workspace of a folder."""

    folder: str
    turn_id: int
    version: int


class TurnSettings(Settings):
    """Something to be answered by one to four panes at once, each with the chat as it sees it. `id` is how it is asked about."""

    id: str
    panes: tuple[Pane, ...] = Field(min_length=1, max_length=MOST_PANES)
    chats: tuple[tuple[dict[Literal["role", "content"], str], ...], ...]
    drawing: SeededDecodingParams = SeededDecodingParams()
    kept: Kept | None = None
    kind: Literal["turn"] = "turn"


def pane_of(ws: Workspace, spec: str) -> Pane:
    """The pane that a name stands for; GlanError when it has no known form, the address can't be one, or there is no such model
    in the workspace.

    A base is asked in the template of the model that was made from it, so that both get the same prompt.
    """
    kind, _, name = spec.strip().partition(":")
    name = name.strip()
    if spec == SCRIPTED:
        return Pane(spec=spec, teacher=spec)
    if kind == "openai" and name:
        model, address = _endpoint(name)
        return Pane(spec=spec, teacher=f"openai:{model}", base_url=endpoint(address or None))
    if kind == "local" and name:
        return _local(spec, name)
    if kind not in ("tuned", "base") or not name:
        raise GlanError(f"{spec!r} names no model to talk to: use {FORMS}.")
    model = read_model(ws, name)
    weights, base = str(model.weights(ws)), model.base_path(ws)
    known = {"spec": spec, "tokenizer": weights, "snapshot": model.snapshot}
    if kind == "base":
        return Pane(base=base, **known)
    if model.form == "adapter":
        return Pane(base=base, adapter=weights, said_hash=model.weights_hash, **known)
    return Pane(base=weights, said_hash=model.weights_hash, **known)


def specs_of(ws: Workspace) -> list[str]:
    """What of a workspace can be talked to, the newest tuned model first, each with its base."""
    return [f"{kind}:{model.name}" for model in list_models(ws) for kind in ("tuned", "base")]


def title_of(spec: str) -> str:
    """A pane's name for people."""
    kind, _, name = spec.partition(":")
    if kind == "local":
        name = Path(name).name or name
    if kind == "openai":
        name = _endpoint(name)[0]
    words = {"tuned": name, "base": f"{name} before tuning", "local": name, "openai": name}
    return words.get(kind, "Scripted teacher")


def _endpoint(name: str) -> tuple[str, str]:
    """Model and address of 'MODEL@http…', '' for none: names of models may hold an @ themselves."""
    model, at, rest = name.partition("@http")
    return model, f"http{rest}" if at else ""


def _local(spec: str, name: str) -> Pane:
    """Weights by their folder or hub name; the folder of an adapter brings its base along."""
    folder = Path(name).expanduser()
    about = folder / "adapter_config.json"
    if not about.is_file():
        return Pane(spec=spec, base=str(folder.absolute()) if folder.is_dir() else name)
    try:
        base = json.loads(about.read_text("utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not base:
        raise GlanError(f"{about} does not say which model the adapter belongs to.")
    own = (folder / "tokenizer_config.json").is_file()
    return Pane(spec=spec, base=base, adapter=str(folder.absolute()), tokenizer=str(folder.absolute()) if own else "")
