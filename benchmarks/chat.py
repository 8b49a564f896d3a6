"""Cost of a reply from the model server: time to first token and tokens per second, beside bare `transformers generate`.

    python benchmarks/chat.py                       # a tiny and a medium model with random weights, created here
    python benchmarks/chat.py --model FOLDER        # also a model of your own
    python benchmarks/chat.py --rounds 7 --tokens 200

The bare contender is `generate` in a thread, read through a TextIteratorStreamer, in a process that holds the weights. Ours is
`models.server_client.stream` as `glan chat` calls it: from the HTTP request to the text of the last token. Both use greedy decoding with
the same prompt, number of tokens and threads, and alternate; the first reply of each is not counted. Base and adapter are also
requested as one batch, beside two bare replies in sequence.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
PROMPT = "Explain what an ideal of a ring is, and give two examples. " * 4
SHAPES = {"tiny (0.8M)": (128, 3, 4), "medium (11M)": (384, 6, 6)}
WORDS = 1536


def main() -> None:
    """Run all contenders alternately and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each contender (default: %(default)s)")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        _bare(args.bare, args.tokens)
        return
    with tempfile.TemporaryDirectory(prefix="glan-benchmark-") as folder:
        os.environ["GLAN_RUNTIME"] = f"{folder}/runtime"
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(args.threads)}
        models = {name: _made(Path(folder) / str(shape[0]), *shape) for name, shape in SHAPES.items()}
        models |= {path.name: path for path in args.model}
        results = [result for name, path in models.items() for result in _compare(name, path, args)]
        results += _pair(Path(folder) / "pair", args)
    _report(results, args)


def _compare(name: str, path: Path, args: argparse.Namespace) -> list[dict]:
    """Measure one model, bare and through the model server, alternately."""
    from glan_core.models import server_client
    from glan_core.models.model_specs import ResolvedModel

    pane, bare, ours = ResolvedModel(spec=f"local:{path}", base=str(path)), [], []
    with _Bare(path, args.tokens) as ask:
        for number in range(args.rounds + 1):
            once = ask(), _through_the_process([pane], args.tokens)
            if number:
                bare.append(once[0])
                ours.append(once[1])
    server_client.release()
    return [_row(name, "bare generate, streamed", bare), _row(name, "glan chat", ours)]


def _pair(folder: Path, args: argparse.Namespace) -> list[dict]:
    """Measure a base model and its adapter: one batch beside two replies in sequence."""
    from support.chat_models import make_adapter

    from glan_core.models import server_client
    from glan_core.models.model_specs import ResolvedModel

    base = _made(folder / "base", *SHAPES["medium (11M)"])
    adapter = make_adapter(base, folder / "adapter")
    panes = [ResolvedModel(spec="base", base=str(base)), ResolvedModel(spec="tuned", base=str(base), adapter=str(adapter))]
    one, both = [], []
    for number in range(args.rounds + 1):
        alone = [_through_the_process([pane], args.tokens) for pane in panes]
        together = _through_the_process(panes, args.tokens)
        if number:
            one.append(
                {"first": alone[0]["first"]} | {name: sum(a[name] for a in alone) for name in ("seconds", "tokens", "cpu")}
            )
            both.append(together)
    server_client.release()
    name = "medium with adapter"
    return [_row(name, "glan chat, base, then adapter", one), _row(name, "glan chat, both as one batch", both)]


def _through_the_process(panes: list, tokens: int) -> dict:
    """Measure one reply as a client sees it: seconds to the first text and to the end of the last one."""
    from glan_core.models import server_client
    from glan_core.models.model_specs import SeededDecodingParams

    chat = [{"role": "user", "content": PROMPT}]
    server_client.ensure_running()
    server = psutil.Process(server_client.status()["pid"])
    cpu = sum(server.cpu_times()[:2])
    settings = server_client.create_turn(panes, [chat] * len(panes), SeededDecodingParams(temperature=0, max_tokens=tokens))
    begun, first, last, written = time.perf_counter(), None, 0.0, 0
    for event in server_client.stream_turn(settings):
        if "text" in event:
            last = time.perf_counter() - begun
            first = first or last
        elif "state" in event:
            assert event["state"] == "done", event
            written += event["facts"]["tokens_out"]
    return {"first": first, "seconds": last, "tokens": written, "cpu": sum(server.cpu_times()[:2]) - cpu}


class _Bare:
    """A process that holds a model and generates on request."""

    def __init__(self, path: Path, tokens: int) -> None:
        command = [sys.executable, __file__, "--bare", str(path), "--tokens", str(tokens)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self):
        return self._ask

    def _ask(self) -> dict:
        self._child.stdin.write("go\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self._child.stdin.close()
        self._child.wait()


def _bare(path: Path, tokens: int) -> None:
    """Generate a reply for every line of standard input."""
    import threading

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    for _ in sys.stdin:
        cpu, begun, first, last = time.process_time(), time.perf_counter(), None, 0.0
        text = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], tokenize=False, add_generation_prompt=True)
        batch = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        options = {"max_new_tokens": tokens, "do_sample": False, "streamer": streamer, "pad_token_id": tokenizer.eos_token_id}
        with torch.inference_mode():
            thread = threading.Thread(target=model.generate, kwargs={**batch, **options})
            thread.start()
            for piece in streamer:
                if piece:
                    last = time.perf_counter() - begun
                    first = first or last
            thread.join()
        print(json.dumps({"first": first, "seconds": last, "tokens": tokens, "cpu": time.process_time() - cpu}), flush=True)


def _made(folder: Path, width: int, layers: int, heads: int) -> Path:
    """Create a model with random weights that generates short words without end."""
    import torch
    from support.chat_models import TEMPLATE
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers import models as tokenizer_models
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*alphabet, *(f"Ġ{'abcdefghij'[n // 100 % 10]}{n:04d}" for n in range(WORDS - len(alphabet) - 1)), "</s>"]
    tokenizer = Tokenizer(tokenizer_models.BPE(vocab={token: n for n, token in enumerate(vocabulary)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=TEMPLATE)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(
        vocab_size=len(vocabulary), hidden_size=width, intermediate_size=int(3.5 * width), num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads // 2, eos_token_id=WORDS - 1, bos_token_id=WORDS - 1,
        max_position_embeddings=4096, sliding_window=None,
    ))  # fmt: skip
    with torch.no_grad():
        model.lm_head.weight[: len(alphabet)] = 0
        model.lm_head.weight[-1] = 0
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def _row(model: str, contender: str, answers: list[dict]) -> dict:
    """Return medians, since other load slows single replies down."""
    first = statistics.median(answer["first"] for answer in answers)
    rate = statistics.median(answer["tokens"] / answer["seconds"] for answer in answers)
    best = max(answer["tokens"] / answer["seconds"] for answer in answers)
    cpu = statistics.median(answer["tokens"] / answer["cpu"] for answer in answers)
    least = min(answer["first"] for answer in answers)
    return {
        "model": model, "contender": contender, "first_ms": 1000 * first, "least_first_ms": 1000 * least, "tokens_per_s": rate,
        "best_tokens_per_s": best, "tokens_per_cpu_s": cpu,
    }  # fmt: skip


def _report(results: list[dict], args: argparse.Namespace) -> None:
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load "
          f"{os.getloadavg()[0]:.1f}; {args.tokens} tokens, {args.threads} threads, medians of {args.rounds}\n")  # fmt: skip
    print("| model | contender | first token, ms | at best | tokens/s | at best | tokens per CPU-second |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for r in results:
        print(f"| {r['model']} | {r['contender']} | {r['first_ms']:.0f} | {r['least_first_ms']:.0f} | {r['tokens_per_s']:,.0f} | "
              f"{r['best_tokens_per_s']:,.0f} | {r['tokens_per_cpu_s']:,.0f} |")  # fmt: skip
    print("\n" + json.dumps(results))


if __name__ == "__main__":
    main()
