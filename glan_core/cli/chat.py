"""`glan chat`, `glan preferences` and `glan serve-models`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from glan_core.cli.output import report, say, to_json
from glan_core.errors import GlanError
from glan_core.models import server_client
from glan_core.models.model_specs import (
    FORMS,
    MAX_MODELS,
    ResolvedModel,
    SeededDecodingParams,
    list_specs,
    model_title,
    resolve_model,
)
from glan_core.reply_parsing import storable
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.teachers.contract import Message
from glan_core.teachers.reasoning import split_reasoning
from glan_core.workspace import Workspace
from glan_core.workspace.chat_rows import FAILED


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    chat = commands.add_parser("chat", help="chat with a tuned model, its base model, any local model or endpoint")
    chat.add_argument("dir", metavar="DIR")
    chat.add_argument(
        "--model", action="append", metavar="M",
        help=f"{FORMS}; repeatable up to {MAX_MODELS} times, for answers side by side (default: the newest tuned model)",
    )  # fmt: skip
    chat.add_argument(
        "--prompt",
        metavar="TEXT",
        help="answer this prompt and exit; - reads it from standard input (default: interactive chat)",
    )
    chat.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    add_options(chat, SeededDecodingParams)
    chat.add_argument("--self-test", action="store_true", help="verify which weights the models run, and exit")
    chat.add_argument("--json", action="store_true", help="print answers, weight hashes, tokens and seconds as JSON")
    chat.set_defaults(command=_chat)

    votes = commands.add_parser("preferences", help="export votes on answers as preference rows for DPO (JSONL)")
    votes.add_argument("dir", metavar="DIR")
    votes.add_argument("file", metavar="FILE", type=Path)
    votes.add_argument("--json", action="store_true")
    votes.set_defaults(command=_preferences)

    serve = commands.add_parser("serve-models", help="run the model server; the studio starts it when needed")
    serve.add_argument(
        "--idle",
        type=float,
        default=600.0,
        metavar="S",
        help="exit after this many seconds without a request (default: %(default)g)",
    )
    serve.set_defaults(command=_serve)


def _chat(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    specs = args.model or list_specs(ws)[:1]
    if not specs:
        raise GlanError(f"No tuned model in {args.dir}. Fine-tune one, or name a model with --model {FORMS}.")
    if len(specs) > MAX_MODELS:
        raise GlanError(f"At most {MAX_MODELS} models can answer side by side.")
    panes = [resolve_model(ws, spec) for spec in specs]
    decoding = read_settings(SeededDecodingParams, given_values(args, SeededDecodingParams))
    if args.self_test:
        found = server_client.self_test(panes)
        report(found, [found["said"]], as_json=args.json)
        return 0 if found["passed"] else 1
    if args.prompt is None:
        return _dialogue(panes, args.system, decoding, as_json=args.json)
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    answers = _ask(panes, [_chat_of(args.system, [], prompt)] * len(panes), decoding, quiet=args.json)
    if args.json:
        report([_with_reasoning(answer) for answer in answers], [], as_json=True)
    return 1 if any(answer["state"] == FAILED for answer in answers) else 0


def _dialogue(panes: Sequence[ResolvedModel], system: str, decoding: SeededDecodingParams, *, as_json: bool) -> int:
    """Ask what is typed, line by line, until the input ends. Ctrl-C stops an answer, and what is written of it counts."""
    told: list[list[Message]] = [[] for _ in panes]
    for prompt in _typed():
        answers = _ask(panes, [_chat_of(system, said, prompt) for said in told], decoding, quiet=as_json)
        if as_json:
            print(to_json({"prompt": prompt, "answers": answers}), flush=True)
        for said, answer in zip(told, answers, strict=True):
            _, text = split_reasoning(answer["text"])
            if text.strip() and answer["state"] != FAILED:
                said += [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
    return 0


def _typed() -> Iterator[str]:
    shown = sys.stdin.isatty()
    if shown:
        print("Type a prompt; an empty line or Ctrl-D exits.", file=sys.stderr)
    while True:
        try:
            line = input("> " if shown else "")
        except EOFError:
            return
        if line.strip():
            yield line
        elif shown:
            return


def _chat_of(system: str, said: list[Message], prompt: str) -> list[Message]:
    prompt = storable(prompt).strip()
    if not prompt:
        raise GlanError("The prompt is empty.")
    first: list[Message] = [{"role": "system", "content": storable(system).strip()}] if system.strip() else []
    return [*first, *said, {"role": "user", "content": prompt}]


def _ask(
    panes: Sequence[ResolvedModel], chats: list[list[Message]], decoding: SeededDecodingParams, *, quiet: bool
) -> list[dict]:
    """Answers of all models. The first is printed as it streams, the others when they are complete."""
    answers: list[dict] = [
        {"model": pane.spec, "text": "", "state": "stopped", "message": "Stopped.", "facts": {}} for pane in panes
    ]
    events = server_client.stream_turn(server_client.create_turn(panes, chats, decoding))
    if len(panes) > 1 and not quiet:
        say(f"== {model_title(panes[0].spec)}")
    try:
        for event in events:
            answer = answers[event["pane"]]
            if "text" in event:
                answer["text"] += event["text"]
                if event["pane"] == 0 and not quiet:
                    say(event["text"], end="")
            elif "state" in event:
                answer |= {name: event[name] for name in ("state", "message", "facts")}
    except KeyboardInterrupt:
        events.close()
    if not quiet:
        _print_ends(answers)
    return answers


def _with_reasoning(answer: dict) -> dict:
    """Return an answer whose reasoning has a field of its own."""
    reasoning, text = split_reasoning(answer["text"])
    return answer | {"text": text, "reasoning": reasoning}


def _print_ends(answers: list[dict]) -> None:
    for n, answer in enumerate(answers):
        say(f"\n\n== {model_title(answer['model'])}\n{answer['text']}" if n else "")
        if answer["message"]:
            say(answer["message"], file=sys.stderr)
        facts = answer["facts"]
        if facts.get("tokens_out"):
            hashes = [facts[name].removeprefix("sha256:")[:12] for name in ("weights_hash", "adapter_hash") if facts[name]]
            weights = f"weights {hashes[0]}{f' with adapter {hashes[1]}' if hashes[1:] else ''}, " if hashes else ""
            print(f"[{weights}{facts['tokens_out']:,} tokens in {facts['seconds']:.1f} s]", file=sys.stderr)


def _preferences(args: argparse.Namespace) -> None:
    from glan_core.chat.preferences import write_preferences
    from glan_core.formatting import plural

    number = write_preferences(Workspace.open(args.dir), args.file)
    report(
        {"file": str(args.file), "rows": number},
        [f"Wrote {plural(number, 'preference row')} to {args.file}."],
        as_json=args.json,
    )


def _serve(args: argparse.Namespace) -> None:
    from glan_core.models import server

    if not 1 <= args.idle <= 10**7:
        raise GlanError(f"--idle must be between 1 and 10,000,000 seconds (got {args.idle}).")
    server.run(args.idle)
