"""Modelfile: how Ollama runs a GGUF file, with the chat template of training in Ollama's template language.

Ollama's templates are Go templates, so the blocks of a turn are read off the rendered Jinja template. A template whose chats are
not the concatenation of such blocks is omitted rather than approximated; Ollama then recognizes it by the one in the GGUF file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glan_core.models.gguf_file import end_token

SYSTEM, ASKED, ANSWERED, AGAIN = "XyzzySystem", "XyzzyQuestion", "XyzzyAnswer", "XyzzyNext"


@dataclass(frozen=True, slots=True)
class TurnBlocks:
    """Texts around the contents of a chat; the first includes the BOS token where the template writes it.

    Attributes:
        before_system: Text before the system message.
        after_system: Text after it.
        default: System message that the template writes if there is none, '' for none.
        start: Text that starts a chat without system message.
        before_question: Text before a question.
        after_question: Text between a question and its answer.
        after_answer: Text between an answer and the text before the next question.
    """

    before_system: str
    after_system: str
    default: str
    start: str
    before_question: str
    after_question: str
    after_answer: str

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """Render messages that end in a question, as Ollama does."""
        first = messages[0]["content"] if messages[0]["role"] == "system" else self.default
        text = self.before_system + first + self.after_system if first else self.start
        turns = [message for message in messages if message["role"] != "system"]
        for message in turns:
            if message["role"] == "user":
                text += self.before_question + message["content"] + self.after_question
            else:
                text += message["content"] + self.after_answer
        return text


def modelfile(tokenizer: Any, gguf_name: str) -> str:
    """Return the Modelfile of a GGUF file.

    Args:
        tokenizer: Tokenizer with the chat template of training.
        gguf_name: Name of the GGUF file in the same folder.
    """
    lines = ["# ollama create NAME -f Modelfile", f"FROM ./{gguf_name}"]
    blocks = turn_blocks(tokenizer)
    if blocks and (template := _go_template(blocks)):
        lines.append(f'TEMPLATE """{template}"""')
        if blocks.default:
            lines.append(f'SYSTEM """{blocks.default}"""')
    end = end_token(tokenizer)
    lines.append(f'PARAMETER stop "{end}"')
    return "\n".join(lines) + "\n"


def turn_blocks(tokenizer: Any) -> TurnBlocks | None:
    """Read the blocks of a chat template; None if its chats are not made of such blocks."""
    user, assistant, again = (
        {"role": role, "content": text} for role, text in (("user", ASKED), ("assistant", ANSWERED), ("user", AGAIN))
    )
    system = {"role": "system", "content": SYSTEM}

    def render(*messages: dict[str, str]) -> str:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))

    try:
        alone, chat = render(user), render(user, assistant, again)
        start, _, after_question = alone.partition(ASKED)
        between = chat.partition(ANSWERED)[2].partition(AGAIN)[0]
        before_question = _common_end(start, between)
        start = start[: len(start) - len(before_question)]
        before_system = after_system = default = ""
        with_system = _rendered(render, system, user)
        if SYSTEM in with_system:
            before_system, _, rest = with_system.partition(SYSTEM)
            after_system = rest.partition(ASKED)[0]
            if not after_system.endswith(before_question):
                return None
            after_system = after_system[: len(after_system) - len(before_question)]
            if start != "" and start.startswith(before_system) and start.endswith(after_system):
                default = start[len(before_system) : len(start) - len(after_system)]
    except Exception:  # templates can raise anything
        return None
    blocks = TurnBlocks(
        before_system,
        after_system,
        default,
        start,
        before_question,
        after_question,
        between[: len(between) - len(before_question)],
    )
    chats = [(user,), (user, assistant, again), (user, assistant, user, assistant, again)]
    chats += [(system, *messages) for messages in chats] if before_system or after_system else []
    return blocks if all(blocks.render(messages) == render(*messages) for messages in chats) else None


def _common_end(first: str, second: str) -> str:
    """Return the longest text that both texts end with."""
    length = 0
    while length < min(len(first), len(second)) and first[-1 - length] == second[-1 - length]:
        length += 1
    return first[len(first) - length :]


def _rendered(render: Any, *messages: dict[str, str]) -> str:
    """Render messages; '' if the template refuses them, as some refuse system messages."""
    try:
        return str(render(*messages))
    except Exception:  # templates can raise anything
        return ""


def _go_template(blocks: TurnBlocks) -> str:
    """Return the blocks as a Go template; '' if their texts cannot be written in one."""
    texts = [getattr(blocks, name) for name in TurnBlocks.__dataclass_fields__]
    if any("{{" in text or '"""' in text for text in texts):
        return ""
    start = f"{{{{ if .System }}}}{blocks.before_system}{{{{ .System }}}}{blocks.after_system}{{{{ else }}}}{blocks.start}{{{{ end }}}}"
    question = f"{blocks.before_question}{{{{ .Content }}}}{blocks.after_question}"
    answer = f"{{{{ .Content }}}}{blocks.after_answer}"
    return (
        f'{start}{{{{ range .Messages }}}}{{{{ if eq .Role "user" }}}}{question}{{{{ else if eq .Role "assistant" }}}}{answer}'
        "{{ end }}{{ end }}"
    )
