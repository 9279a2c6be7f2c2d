"""The parts of a document on its page."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from business.cases.document import (
    Bound,
    Document,
    Note,
    Part,
    Said,
    Table,
    Text,
    marked,
    only_source,
)

register = template.Library()


@register.simple_tag
def text(document: Document, said: Text, marks: bool = True) -> SafeString:
    """Return a text with its values bound: changed ones marked, sources after them."""
    return format_html_join(
        "",
        "{}",
        ((_part(document, part, source if marks else ""),) for part, source in marked(said)),
    )


def _part(document: Document, part: Part, source: str) -> Any:
    if isinstance(part, str):
        return part
    if isinstance(part, Said):
        return document.hear(part)
    if not isinstance(part, Bound):
        return part.text
    shown: Any = format_html('<data value="{}">{}</data>', part.key, part.shown)
    if part.was is not None:
        was = f"before: {part.was}" if part.was else "new in this version"
        shown = format_html('<mark title="{}">{}</mark>', was, shown)
    return format_html("{}{}", shown, reference(document, source))


@register.simple_tag
def reference(document: Document, source: str) -> SafeString:
    """Return the number of a source as a link to it; nothing where none is named."""
    if not source:
        return SafeString("")
    number = document.number_of(source)
    return format_html('<sup><a href="#source-{0}">{0}</a></sup>', number)


@register.simple_tag
def only(table: Table) -> str:
    """Return the one source of a table's values, if there is only one."""
    return only_source(table)


@register.filter
def kind(block: Any) -> str:
    """Return what a block is."""
    return type(block).__name__


@register.filter
def labelled(table: Table) -> list[list[tuple[str, str, Text]]]:
    """Return each row's cells with their column's title and class."""
    columns = [(title, "num" if at in table.numeric else "") for at, title in enumerate(table.head)]
    return [
        [(*column, cell) for column, cell in zip(columns, row, strict=True)] for row in table.rows
    ]


@register.filter
def drawn(svg: str) -> SafeString:
    """Return a figure that ``drawing`` made; every word in it is escaped there."""
    return mark_safe(svg)  # noqa: S308  # nosec B308 B703


@register.filter
def noted(document: Document, note: Note) -> str:
    """Return the words of a note."""
    return document.hear(note.said)


@register.filter
def hear(document: Document, key: str) -> str:
    """Return what a person said under a key, or nothing."""
    return document.said.get(key, "")
