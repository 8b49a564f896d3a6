"""State of one reply while it is generated."""

import time
from dataclasses import dataclass, field

from glan_core.workspace.chat_rows import WRITING


@dataclass
class ReplyMetadata:
    """Metadata of a reply.

    Attributes:
        weights_hash: 'sha256:…' of the loaded weights.
        adapter_hash: 'sha256:…' of the adapter.
        adapter: 'on' or 'off' for a base with adapters, 'none' for a full model, '' for a teacher.
        dtype: Dtype of the weights.
        device: Device of the weights.
        temperature: Sampling temperature.
        top_p: Nucleus sampling threshold.
        top_k: Number of most likely tokens sampled from, 0 for all.
        repetition_penalty: Repetition penalty, 1 for none.
        max_tokens: Token limit of the reply.
        seed: Sampling seed.
        tokens_in: Prompt tokens.
        tokens_out: Generated tokens.
        tokens_reasoning: Generated tokens of reasoning.
        estimated: Whether token counts are estimates because the teacher reported none.
        loading: Seconds until the weights were loaded.
        first_token: Seconds from then to the first token.
        seconds: Seconds from then to the end.
        finish: Finish reason.
    """

    weights_hash: str = ""
    adapter_hash: str = ""
    adapter: str = ""
    dtype: str = ""
    device: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    max_tokens: int = 0
    seed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_reasoning: int = 0
    estimated: bool = False
    loading: float = 0.0
    first_token: float | None = None
    seconds: float = 0.0
    finish: str = ""


@dataclass
class PaneState:
    """State of one reply.

    Attributes:
        state: WRITING, DONE, STOPPED or FAILED.
        text: Text so far.
        message: Error or stop message.
        doing: What the reply is waiting for, '' while text is generated.
        facts: Metadata.
        at: Time of the last state change in seconds since the epoch.
    """

    state: str = WRITING
    text: str = ""
    message: str = ""
    doing: str = "Waiting in the queue."
    facts: ReplyMetadata = field(default_factory=ReplyMetadata)
    at: float = field(default_factory=time.time)
