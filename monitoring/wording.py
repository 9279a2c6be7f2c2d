"""Numbers and the dashboard's first sentence, in words. Formats as ``static/js/format.js`` does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conservation import Status
from monitoring.models import Alert, Node
from monitoring.quantities import Sum

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 2) -> str:
    """Return a number with fixed significant digits: 3.1×10⁻⁹, 120, 0.25, with a true minus."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits}g}".replace("-", "−") if abs(value) < 100 else f"{value:,.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPT)
    return f"{mantissa.replace('-', '−')}×10{power}"


@dataclass(frozen=True)
class Answer:
    """The sentence that comes first, and how bad it is."""

    sentence: str
    level: str


def answer(
    *, sums: Sequence[Sum], nodes: Iterable[Node], alerts: Iterable[Alert], is_redis_up: bool
) -> Answer:
    """Say what matters most, the gravest first."""
    listed = [node for node in nodes if node.state != Node.State.LEFT]
    if not is_redis_up:
        return Answer("Redis does not answer. Values are recorded, but not shown live.", "critical")
    violated = [each for each in sums if each.verdict is Status.VIOLATED]
    if violated:
        return Answer(f"{_violation(violated[0])} {_nodes(listed)}.", "critical")
    critical = [each for each in alerts if each.severity == Alert.Severity.CRITICAL]
    if critical:
        return Answer(f"{_headline(critical)}. {_nodes(listed)}.", "critical")
    sick = [node for node in listed if node.state != Node.State.OK]
    unknown = [each for each in sums if each.accounts and each.verdict is Status.UNKNOWN]
    level = "ok"
    if any(node.state == Node.State.CRITICAL for node in sick):
        level = "critical"
    elif any(node.state == Node.State.WARNING for node in sick):
        level = "warning"
    elif sick or unknown or not listed:
        level = "unknown"
    return Answer(f"{_nodes(listed)}; {_laws(sums, unknown)}.", level)


def _headline(critical: Sequence[Alert]) -> str:
    """Name the newest alert that nobody is on, or else the newest, and count the others."""
    firing = [each for each in critical if each.state is Alert.State.FIRING]
    first = (firing or critical)[0]
    more = f" and {len(critical) - 1} more" if len(critical) > 1 else ""
    return f"{first.title}{more}{'' if firing else ' (acknowledged)'}"


def _nodes(listed: Sequence[Node]) -> str:
    if not listed:
        return "No node has reported yet"
    silent = [node for node in listed if node.state == Node.State.UNKNOWN]
    sick = [node for node in listed if node.state in (Node.State.WARNING, Node.State.CRITICAL)]
    if len(silent) == 1:
        return f"{silent[0].name} does not answer"
    if silent:
        return f"{len(silent)} of {len(listed)} nodes do not answer"
    if sick:
        name = f" ({sick[0].name})" if len(sick) == 1 else ""
        return f"{len(sick)} of {len(listed)} nodes degraded{name}"
    return f"All {len(listed)} nodes answer"


def _laws(sums: Sequence[Sum], unknown: Sequence[Sum]) -> str:
    accounts = max((each.accounts for each in sums), default=0)
    if not accounts:
        return "nothing is running"
    if unknown:
        names = " and ".join(each.quantity for each in unknown)
        return f"{names} unknown: {unknown[0].silent or accounts} of {accounts} runs silent"
    runs = f"{accounts} run{'s' if accounts > 1 else ''}"
    for each in sums:
        if each.quantity == "energy" and each.balance is not None and each.limit is not None:
            balance, limit = number(abs(each.balance)), number(each.limit)
            return f"energy error {balance} of {limit} J allowed in {runs}"
    return f"every law holds in {runs}"


def _violation(each: Sum) -> str:
    name = each.quantity.capitalize()
    if each.balance is None or each.limit is None:
        return f"{name} is not conserved: its reading is not a number."
    return (
        f"{name} is not conserved: off by {number(abs(each.balance))} {each.unit}, "
        f"limit {number(each.limit)} {each.unit}."
    )
