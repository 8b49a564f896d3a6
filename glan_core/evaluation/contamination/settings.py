"""What a person asks of a contamination probe, and of the teacher who writes look-alikes for it."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from glan_core.generation.settings import TeacherSettings
from glan_core.reply_parsing import one_line
from glan_core.settings import Settings

Covers = Literal["answer", "question", "both"]
Written = Literal["plain", "chat"]
LONGEST_NAME = 60


class ProbeFile(Settings):
    """Rows of questions with their answers: `source` is a benchmark that `probe_texts.ANSWERS` knows, or a JSONL, JSON, CSV or
    Parquet file, or a folder that `datasets` saved. `split` picks rows where the source holds several splits (None: the one that
    it is asked for). `question` and `answer` are columns, dotted where they are nested, None to have them recognised."""

    source: str = Field(min_length=1)
    split: str | None = None
    question: str | None = None
    answer: str | None = None


class ProbeSettings(Settings):
    """An order to measure the mean loss of `models` on a benchmark's two splits, and on look-alikes where there are some.

    `models` are weights by their names (`chat.panes`); endpoints give no loss. `name` is what the probe is called. `covers`: the
    loss is taken on the tokens of the answer given the question, of the question, or of both. `written` 'plain': question, line
    break, answer, as a benchmark's file reads; 'chat': in the model's chat template, as it is asked. `sample` rows of each file
    are drawn by `seed`, smaller draws being part of larger ones; None takes all. Rows are cut at `max_length` tokens.
    """

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    models: tuple[str, ...] = Field(min_length=1)
    train: ProbeFile
    test: ProbeFile
    alike: ProbeFile | None = None
    covers: Covers = "answer"
    written: Written = "plain"
    sample: int | None = Field(500, ge=2)
    seed: int = Field(0, ge=0, lt=2**31)
    max_length: int = Field(1024, ge=16, le=131_072)
    kind: Literal["probe"] = "probe"

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not (value := str(one_line(value)).strip()):
            raise ValueError("give what is probed a name")
        return value

    @field_validator("models")
    @classmethod
    def _weights(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        models = tuple(dict.fromkeys(spec for name in value if (spec := name.strip())))
        if not models:
            raise ValueError("name at least one model")
        for spec in models:
            if spec.partition(":")[0] not in ("tuned", "base", "local"):
                raise ValueError(f"{spec} gives no loss, only weights do: use tuned:NAME, base:NAME or local:PATH")
        return models

    @property
    def files(self) -> dict[str, ProbeFile]:
        """The files by what they are: 'train', 'test' and, where there is one, 'alike'."""
        return {"train": self.train, "test": self.test, **({"alike": self.alike} if self.alike else {})}


class LookalikeSettings(TeacherSettings):
    """An order for fresh problems: for each of `number` rows of `source`, drawn by `seed`, a teacher writes one of the same kind
    with its answer. They are kept in the workspace's benchmark file `name`; those that are there are not asked for again."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    source: ProbeFile
    number: int = Field(200, ge=1, le=100_000)
    seed: int = Field(0, ge=0, lt=2**31)
    kind: Literal["lookalikes"] = "lookalikes"

    @property
    def asked(self) -> Sequence[str]:
        """See Terms."""
        return ("lookalike",)
