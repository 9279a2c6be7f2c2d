"""Numbers as text in templates; see ``simulation.figures``."""

from __future__ import annotations

from typing import Any

from django import template

from simulation import figures

register = template.Library()
for each in (figures.sci, figures.count, figures.seconds, figures.percent, figures.components):
    register.filter(each.__name__, each)


@register.filter
def at(mapping: dict[str, Any], key: str) -> Any:
    """Return the value of a key that stands in a variable."""
    return mapping[key]


@register.filter
def words(name: str) -> str:
    """Return a name in code as words: angular momentum."""
    return name.replace("_", " ")
