"""The chats of generation.py through bespokelabs-curator, in an environment of its own; started by `generation.py --curator PYTHON`.

Arguments: the endpoint's URL, the file of chats (JSON), the number of calls and the number of requests in flight. Prints wall time, CPU time and
memory as JSON. Curator stores every response in files, as it does by default; its cache is an empty folder. Its counting of tokens is replaced by a
cheap estimate, so that it needs no internet.
"""

import json
import os
import resource
import sys
import tempfile
import time
from itertools import cycle, islice

os.environ.update(TELEMETRY_ENABLED="0", CURATOR_VIEWER="0", OPENAI_API_KEY="none")

import tiktoken  # type: ignore[import-not-found]
from bespokelabs import curator  # type: ignore[import-not-found]
from datasets import Dataset


class FourCharacters:
    """Stands in for OpenAI's tokenizer, whose file is on the internet: one token per four characters, at almost no cost."""

    def encode(self, text: str, **_: object) -> range:
        """Return as many numbers as there are tokens."""
        return range(-(-len(text) // 4))


tiktoken.get_encoding = lambda name: FourCharacters()


class Asked(curator.LLM):
    """Sends the chat of a row."""

    def prompt(self, row: dict) -> list:
        """Return the messages of a row."""
        return json.loads(row["chat"])

    def parse(self, row: dict, response: str) -> dict:
        """Return the row to store."""
        return {"text": response}


def main() -> None:
    """Send all chats and print the measurement."""
    url, chats, calls, in_flight = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with open(chats) as file:
        # Equal chats would be sent once, so each has a number.
        rows = [
            {"number": number, "chat": json.dumps(chat)} for number, chat in enumerate(islice(cycle(json.load(file)), calls))
        ]
    with tempfile.TemporaryDirectory(prefix="glan-curator-") as folder:
        limits = {"max_concurrent_requests": in_flight, "max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10}
        asked = Asked(
            "scripted",
            backend="openai",
            generation_params={"temperature": 1.0, "top_p": 0.95, "max_tokens": 4096},
            backend_params={"base_url": url, "api_key": "none", **limits},
        )
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        response = asked(Dataset.from_list(rows), working_dir=folder)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    stored = len(getattr(response, "dataset", response))
    assert stored == calls, f"{stored} of {calls} calls were stored"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"calls": calls, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "peak_mb": round(after.ru_maxrss / 1024, 1),
                      "grown_mb": round((after.ru_maxrss - before.ru_maxrss) / 1024, 1)}))  # fmt: skip


if __name__ == "__main__":
    main()
