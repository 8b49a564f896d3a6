"""Model specifications: `tuned:NAME[@STEP]`, `base:NAME`, `local:PATH`, `openai:MODEL[@ADDRESS]`, `@CONNECTION`, `scripted`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from glan_core.errors import GlanError
from glan_core.io.packaged_models import available_bases, display_name
from glan_core.json_text import parse_json
from glan_core.models.tuned_model_store import checkpoint_folder, list_models, read_model
from glan_core.settings import MOST_SEED, Settings
from glan_core.teachers.connections import MARK, resolve
from glan_core.teachers.endpoint_settings import EndpointSettings, endpoint
from glan_core.workspace import Workspace

MAX_MODELS = 4
SCRIPTED = "scripted"
CHECKPOINT = "@"  # tuned:NAME@STEP
FORMS = "tuned:NAME, tuned:NAME@STEP, base:NAME, local:PATH, openai:MODEL, openai:MODEL@ADDRESS, @CONNECTION or scripted"


class ResolvedModel(Settings):
    """A model resolved from its specification: either local weights or a teacher endpoint.

    Attributes:
        spec: The specification.
        base: Folder or Hub ID of the weights, '' for a teacher.
        adapter: Folder of a LoRA adapter, '' for none.
        tokenizer: Folder of the tokenizer and chat template, '' for that of the base.
        teacher: Teacher specification, '' for local weights.
        base_url: Endpoint of the teacher.
        endpoint: Headers, extra fields, timeouts, key variable and price of the endpoint.
        snapshot: Snapshot that a tuned model was trained on.
        said_hash: Weights hash recorded after training.
        base_hash: Weights hash of the base that an adapter was trained on, '' if it was not recorded.
    """

    spec: str
    base: str = ""
    adapter: str = ""
    tokenizer: str = ""
    teacher: str = ""
    base_url: str | None = None
    endpoint: EndpointSettings = EndpointSettings()
    snapshot: str = ""
    said_hash: str = ""
    base_hash: str = ""


class SeededDecodingParams(Settings):
    """Decoding parameters.

    Temperature 0 is greedy decoding. The same `seed` reproduces an answer of local weights; endpoints do their own sampling, and
    are sent `top_k` and `repetition_penalty` only if these differ from their defaults, because not all of them know these.
    """

    temperature: float = Field(
        0.7, ge=0, le=5, title="Temperature", description="0 is greedy decoding; higher values give more varied replies."
    )
    top_p: float = Field(
        0.95,
        gt=0,
        le=1,
        title="Top-p",
        description="Nucleus sampling: sample from the most likely tokens whose probabilities sum to this.",
    )
    top_k: int = Field(
        0, ge=0, le=100_000, title="Top-k", description="Sample from this many of the most likely tokens; 0: from all.",
    )  # fmt: skip
    repetition_penalty: float = Field(
        1.0, ge=1, le=2, title="Repetition penalty",
        description="Divides the scores of tokens that occur in the prompt or the reply; 1: no penalty. Small models repeat themselves less "
        "at 1.1 to 1.3.",
    )  # fmt: skip
    max_tokens: int = Field(
        512, ge=1, le=32_768, title="Max new tokens", description="Longest reply.", json_schema_extra={"unit": "tokens"}
    )
    seed: int = Field(
        0,
        ge=0,
        lt=MOST_SEED,
        title="Seed",
        description="Seed of sampling; it reproduces replies of local models. Endpoints ignore it.",
    )


class ReplyTarget(Settings):
    """Where the model server stores replies: a version of a turn in the workspace in `folder`."""

    folder: str
    turn_id: int
    version: int


class TurnSettings(Settings):
    """A request to answer with one to four models at once, each with its own view of the chat.

    Attributes:
        id: ID of the request.
        panes: Models.
        chats: Chat of each model.
        decoding: Decoding parameters.
        own: Decoding parameters of the models that do not use `decoding`, by pane.
        kept: Where replies are stored, None to return them only.
    """

    id: str
    panes: tuple[ResolvedModel, ...] = Field(min_length=1, max_length=MAX_MODELS)
    chats: tuple[tuple[dict[Literal["role", "content"], str], ...], ...]
    decoding: SeededDecodingParams = SeededDecodingParams()
    own: dict[int, SeededDecodingParams] = Field(default_factory=dict)
    kept: ReplyTarget | None = None
    kind: Literal["turn"] = "turn"

    def decoding_of(self, pane: int) -> SeededDecodingParams:
        """Return the decoding parameters of a model."""
        return self.own.get(pane, self.decoding)


def resolve_model(ws: Workspace, spec: str) -> ResolvedModel:
    """Resolve a model specification.

    A base model is prompted with the chat template of the model tuned from it, so that both get the same prompt.

    Raises:
        GlanError: If the specification is invalid or the workspace has no such model.
    """
    kind, _, name = spec.strip().partition(":")
    name = name.strip()
    if spec == SCRIPTED:
        return ResolvedModel(spec=spec, teacher=spec)
    if spec.startswith(MARK):
        values = resolve(spec)
        at = EndpointSettings(**{name: value for name, value in values.items() if name in EndpointSettings.model_fields})
        return ResolvedModel(spec=spec, teacher=values["teacher"], base_url=at.base_url, endpoint=at)
    if kind == "openai" and name:
        model_name, address = _endpoint(name)
        return ResolvedModel(spec=spec, teacher=f"openai:{model_name}", base_url=endpoint(address or None))
    if kind == "local" and name:
        return local_model(name)
    if kind not in ("tuned", "base") or not name:
        raise GlanError(f"{spec!r} is not a model specification. Use {FORMS}.")
    name, _, step = name.partition(CHECKPOINT)
    model = read_model(ws, name)
    weights, said_hash, base = str(model.weights(ws)), model.weights_hash, model.base_path(ws)
    if step:
        kept = model.checkpoint(int(step) if step.isdecimal() else -1)
        weights, said_hash = str(checkpoint_folder(ws, name, kept.step)), kept.weights_hash
    known = {"spec": spec, "tokenizer": weights, "snapshot": model.snapshot}
    if kind == "base":
        return ResolvedModel(base=base, **known)
    if model.form == "adapter":
        return ResolvedModel(base=base, adapter=weights, said_hash=said_hash, base_hash=model.base_hash, **known)
    return ResolvedModel(base=weights, said_hash=said_hash, **known)


def list_specs(ws: Workspace) -> list[str]:
    """Return the specifications of the workspace's models, newest tuned model first, each with its base."""
    return [f"{kind}:{model.name}" for model in list_models(ws) for kind in ("tuned", "base")]


def tuned_name(spec: str) -> str | None:
    """Return the name of the tuned model that a specification or one of its checkpoints belongs to; None for other models."""
    kind, _, name = spec.partition(":")
    return name.partition(CHECKPOINT)[0] if kind == "tuned" else None


def base_name(ws: Workspace, spec: str) -> str:
    """Return the name of the base model that a specification `base:NAME` stands for, '' for other models and unknown names."""
    kind, _, name = spec.partition(":")
    if kind != "base":
        return ""
    try:
        model = read_model(ws, name)
    except GlanError:
        return ""
    return model.base_name or "initialized from scratch, untrained"


def packaged_specs() -> list[str]:
    """Return the specifications of the packaged base models that are installed."""
    return [f"local:{name}" for name in available_bases()]


def model_title(spec: str) -> str:
    """Return the display name of a model."""
    kind, _, name = spec.partition(":")
    if spec.startswith(MARK):
        return spec
    if kind == "local":
        name = display_name(Path(name).name or name)
    if kind == "openai":
        name = _endpoint(name)[0]
    if kind == "tuned":
        name, _, step = name.partition(CHECKPOINT)
        return f"{name}, step {step}" if step else name
    words = {"base": f"{name} (base)", "local": name, "openai": name}
    return words.get(kind, "Scripted teacher")


def _endpoint(name: str) -> tuple[str, str]:
    """Split 'MODEL@http…' into model and address ('' if absent); model names may contain an @ themselves."""
    model, at, rest = name.partition("@http")
    return model, f"http{rest}" if at else ""


def local_model(name: str) -> ResolvedModel:
    """Resolve weights by folder or Hub ID; the folder of an adapter includes its base.

    Raises:
        GlanError: If an adapter does not name its base.
    """
    folder, spec = Path(name).expanduser(), f"local:{name}"
    about = folder / "adapter_config.json"
    if not about.is_file():
        return ResolvedModel(spec=spec, base=str(folder.absolute()) if folder.is_dir() else name)
    try:
        base = parse_json(about.read_text("utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not base:
        raise GlanError(f"{about} does not name the base model of the adapter (base_model_name_or_path).")
    own = (folder / "tokenizer_config.json").is_file()
    return ResolvedModel(spec=spec, base=base, adapter=str(folder.absolute()), tokenizer=str(folder.absolute()) if own else "")
