"""Formatting of numbers, prices, times and stages, shared by the CLI and the pages."""

import json
import math
import time
from datetime import datetime

from glan_core.untrusted import clean


def number(value: float) -> str:
    """Format a number rounded to an integer: '1,204'."""
    return f"{round(value):,}"


def short(value: float) -> str:
    """Abbreviate a number from ten thousand on: '1,204', '12.3k', '300k', '4.6M', '1.4B'."""
    for least, size, unit in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / size:,.{1 if abs(value) < 100 * size else 0}f}{unit}"
    return number(value)


def usd(amount: float) -> str:
    """Format an amount in USD: '$0.0042', '$3.10', '$1,204'; never '$0.00' for an amount that is not 0."""
    if 0 < amount < 0.0001:
        return f"${amount:.{1 - math.floor(math.log10(amount))}f}"
    return f"${amount:,.0f}" if amount >= 1000 else f"${amount:,.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.4f}"


def duration(seconds: float) -> str:
    """Format a duration in seconds: '40 s', '3 min', '2.5 h', '4 days'."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (48 * 3600, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}" if unit == "h" else f"{max(1, round(seconds / size))} {unit}"
    return f"{seconds / 86400:.0f} days"


def durations(ends: tuple[float, float] | None) -> str:
    """Format a range of durations in seconds: '8 to 13 min', '40 s to 2 min', '3 min' if both ends format alike, or 'unknown'."""
    if ends is None:
        return "unknown"
    low, high = map(duration, ends)
    (number, _, unit), other = low.partition(" "), high.rpartition(" ")[2]
    return high if low == high else f"{number} to {high}" if unit == other else f"{low} to {high}"


def size(bytes: float) -> str:
    """Format a size in bytes: '340 kB', '4.7 MB', '12 GB'."""
    for least, divisor, unit in ((1e9, 1e9, "GB"), (1e6, 1e6, "MB")):
        if bytes >= least:
            return f"{bytes / divisor:,.{1 if bytes < 10 * divisor else 0}f} {unit}"
    return f"{bytes / 1e3:,.0f} kB"


def shorten(text: str, most: int) -> str:
    """Truncate text to at most `most` characters, ending in an ellipsis if anything was cut; the result is clean for display."""
    text = clean(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def shorten_title(title: str, most: int) -> str:
    """Truncate the title of a model to at most `most` characters, keeping a suffix such as ' (base)' that tells it from another."""
    start, mark, suffix = title.rpartition(" (")
    if len(title) <= most or not mark or len(suffix) + 2 > most // 2:
        return shorten(title, most)
    return shorten(start, most - len(suffix) - 2) + mark + suffix


def ago(at: float | None, now: float | None = None) -> str:
    """Format a timestamp relative to now: 'just now', '3 min ago'; '' for None."""
    if at is None:
        return ""
    seconds = (time.time() if now is None else now) - at
    return "just now" if seconds < 10 else f"{duration(seconds)} ago"


def exact(at: float | None) -> str:
    """Format a timestamp in local time: '2026-11-23 14:05:09'; '' for None."""
    return "" if at is None else datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def clock_time(at: float, now: float | None = None) -> str:
    """Format a near time in local time: '14:05:09', with the date if it is half a day away or more."""
    near = abs(at - (time.time() if now is None else now)) < 12 * 3600
    return datetime.fromtimestamp(at).strftime("%H:%M:%S" if near else "%Y-%m-%d %H:%M")


def span(ends: tuple) -> str:
    """Format a range: '1,200' or '1,200 to 3,400'; ends that are not integers are converted with `str`."""
    low, high = (f"{end:,}" if isinstance(end, int) else str(end) for end in ends)
    return low if low == high else f"{low} to {high}"


def money(ends: tuple[float, float] | None) -> str:
    """Format a price range in USD: '$1.20 to $3.40', 'free', or 'price unknown' for None."""
    return "price unknown" if ends is None else "free" if ends[1] == 0 else span(tuple(map(usd, ends)))


def spent(amount: float, *, unpriced: bool) -> str:
    """Format the cost of calls: '$1.20', 'price unknown', or '$1.20 + price unknown' if some calls have no known price.

    Args:
        amount: Cost of the calls with a known price, in USD.
        unpriced: Whether the price of any call is unknown.
    """
    return usd(amount) if not unpriced else f"{usd(amount)} + price unknown" if amount else "price unknown"


def signed(value: float | None, digits: int = 2) -> str:
    """Format a difference with its sign: '+1.24', '-0.30'; '0.00' without one, '–' for None or NaN."""
    if value is None or value != value:
        return "–"
    text = f"{value:+.{digits}f}"
    return text[1:] if not float(text) else text


def percent(share: float) -> str:
    """Format a share: '41%', '0.5%', '99.99%'; never '0%' or '100%' for a share that is not exactly that."""
    if share in (0, 1):
        return f"{share:.0%}"
    for digits in range(7):
        text = f"{share:.{digits}%}"
        if float(text[:-1]) not in (0, 100) and (digits or 1 <= 100 * share <= 99):
            return text
    return text


def plural(count: int, one: str, many: str | None = None) -> str:
    """Format a count with its noun: '1 pair', '1,204 pairs', '2 syllabi'."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def quoted(text: str, limit: int = 60) -> str:
    """Quote text for a message: truncated to `limit` characters, unprintable characters escaped."""
    shown = text if len(text) <= limit else text[:limit] + "..."
    return json.dumps(shown, ensure_ascii=not shown.isprintable())
