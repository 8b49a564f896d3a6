"""Prices of calls, from assets/prices.yaml or from the user."""

from dataclasses import dataclass
from functools import cache

import yaml

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


FREE = Price(0.0, 0.0)


@cache
def _table() -> dict[str, list[float]]:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))["openai"]


def price_of(teacher: str, given: str | None = None) -> Price | None:
    """Return the price of a teacher, None if unknown.

    Args:
        teacher: Name of the teacher; local and scripted ones are free.
        given: Price from the user as 'IN,OUT', which takes precedence.
    """
    if given:
        return parse_price(given)
    kind, _, model = teacher.partition(":")
    if kind != "openai" or model == "scripted":
        return FREE
    names = [name for name in _table() if model == name or model.startswith(name + "-")]
    return Price(*_table()[max(names, key=len)]) if names else None


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
