"""What a call costs: the price table of assets/prices.yaml, or a price that the user gives."""

from dataclasses import dataclass
from functools import cache

import yaml

from glan_core.errors import GlanError
from glan_core.resources import ASSETS

TABLE = ASSETS / "prices.yaml"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, of the prompt and of the reply."""

    per_million_in: float
    per_million_out: float

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """The price of a call, in dollars."""
        return (tokens_in * self.per_million_in + tokens_out * self.per_million_out) / 1e6


FREE = Price(0.0, 0.0)


@cache
def _table() -> dict[str, list[float]]:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))["openai"]


def price_of(teacher: str, given: str | None = None) -> Price | None:
    """The price of a teacher: `given` ('IN,OUT') where said, 0 for local and scripted ones, else the table's or None."""
    if given:
        return parse_price(given)
    kind, _, model = teacher.partition(":")
    if kind != "openai" or model == "scripted":
        return FREE
    names = [name for name in _table() if model == name or model.startswith(name + "-")]
    return Price(*_table()[max(names, key=len)]) if names else None


def parse_price(text: str) -> Price:
    """'2.5,10' as a Price; GlanError when it is not two amounts of at least 0."""
    try:
        amount_in, amount_out = (float(part) for part in text.split(","))
        if not (0 <= amount_in < 1e6 and 0 <= amount_out < 1e6):
            raise ValueError
    except ValueError:
        raise GlanError(f"{text!r} is no price: give dollars per million tokens as IN,OUT, such as 2.5,10.") from None
    return Price(amount_in, amount_out)
