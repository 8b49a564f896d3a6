"""Prices of calls, from assets/prices.yaml or from the user.

A price holds for exactly the models it is listed for, and for their dated snapshots: a name that begins alike can be a model
that costs ten times as much, and a budget would be exceeded before anyone noticed.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import yaml
from pydantic import AfterValidator

from glan_core.errors import GlanError
from glan_core.resources import ASSETS

TABLE = ASSETS / "prices.yaml"


@dataclass(frozen=True, slots=True)
class Price:
    """Price in USD per million prompt and completion tokens."""

    per_million_in: float
    per_million_out: float

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """Return the price of a call in USD."""
        return (tokens_in * self.per_million_in + tokens_out * self.per_million_out) / 1e6

    def times(self, share: float) -> "Price":
        """Return a share of this price."""
        return Price(share * self.per_million_in, share * self.per_million_out)


SNAPSHOT = re.compile(r"-20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")  # the date in gpt-5-2025-08-07

FREE = Price(0.0, 0.0)
BATCH_SHARE = 0.5  # price of a request in the Batch API, relative to one that is answered at once


@cache
def _table() -> dict[str, list[float]]:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))["openai"]


def price_of(teacher: str, given: str | None = None) -> Price | None:
    """Return the price of a teacher, None if unknown.

    Args:
        teacher: Name of the teacher; local and scripted ones are free. The price of 'openai:gpt-5-2025-08-07' is that of gpt-5;
            'openai:gpt-5-pro', 'openai:openai/gpt-5' (a reseller's name) and fine-tuned models have none.
        given: Price from the user as 'IN,OUT', which takes precedence.
    """
    if given:
        return parse_price(given)
    kind, _, model = teacher.partition(":")
    if kind != "openai" or model == "scripted":
        return FREE
    amounts = _table().get(model) or _table().get(SNAPSHOT.sub("", model))
    return Price(*amounts) if amounts else None


def parse_price(text: str) -> Price:
    """Parse a price such as '2.5,10' in USD per million prompt and completion tokens.

    Raises:
        GlanError: If the text is not two nonnegative amounts.
    """
    try:
        amount_in, amount_out = (float(part) for part in text.split(","))
        if not (0 <= amount_in < 1e6 and 0 <= amount_out < 1e6):
            raise ValueError
    except ValueError:
        raise GlanError(f"{text!r} is not a valid price. Use USD per million tokens as IN,OUT, such as 2.5,10.") from None
    return Price(amount_in, amount_out)


def _checked_price(text: str) -> str:
    parse_price(text)
    return text


PriceText = Annotated[str, AfterValidator(_checked_price)]
"""A price as typed, 'IN,OUT' in USD per million prompt and completion tokens."""
