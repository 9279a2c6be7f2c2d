"""Amounts, rates and times of scenarios as text in templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from business.scenarios import wording
from business.scenarios.amounts import grouped
from business.scenarios.charts import BENEFITS
from simulation.figures import percent

register = template.Library()
register.filter("money", wording.money)
register.filter("years", wording.years)
register.filter("ratio", wording.ratio)
register.filter("fact", wording.describe_fact)


@register.filter(name="percent")
def percent_of(value: Any) -> str:
    """Return 0.1234 as 12.3 %, and a dash where nothing is known."""
    return percent(None if value == "" else value)


@register.filter
def amount(value: float | None) -> str:
    """Return an amount without its currency."""
    return wording.money(value, "").strip()


@register.filter
def plain(value: float) -> str:
    """Return a number in groups of three, with what digits it has."""
    return grouped(value)


@register.filter
def at(mapping: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key that has a point in it; the key itself where there is none."""
    return mapping.get(key, key)


@register.filter
def benefits(row: Mapping[str, Any]) -> float | None:
    """Return the sum of a year's benefits; None where one is unknown."""
    values = [row[key] for key in BENEFITS]
    return None if None in values else sum(values)


@register.filter
def is_web(address: str) -> bool:
    """Tell whether an address may be a link."""
    return address.startswith(("https://", "http://"))
