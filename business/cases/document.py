"""A document whose numbers know where they come from. Plain data; the renderers take only this.

A text is template words (which hold no digit), names taken from the inputs, what a person said,
and **bound** values: each with its source, and the source with its date. What a person said is
kept beside the document, so that it can be erased without touching what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import zip_longest
from string import Formatter
from typing import Any

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Source:
    """Where values come from. ``at`` is a day or a year."""

    key: str
    what: str
    at: str
    detail: str = ""
    url: str = ""


@dataclass(frozen=True)
class Bound:
    """A value as it is read, from a source. ``key`` names it in every version of the document.

    ``why`` says why there is no value. ``was`` is what the version before had; None: the same.
    """

    key: str
    label: str
    text: str
    source: str
    why: str = ""
    was: str | None = None

    @property
    def shown(self) -> str:
        """The value, and why where there is none."""
        return f"{self.text} ({self.why})" if self.why else self.text


@dataclass(frozen=True)
class Name:
    """A name that an input has."""

    text: str


@dataclass(frozen=True)
class Said:
    """Words of a person, by their key beside the document."""

    key: str


Part = str | Bound | Name | Said
Text = tuple[Part, ...]


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    text: Text


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[Text, ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells; ``numeric`` names the columns that are set to the right."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A drawing with the sources of its numbers; the table behind it is the next block."""

    key: str
    title: str
    sentence: str
    svg: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """A free note of a person to this section."""

    said: Said


Block = Paragraph | Points | Table | Figure | Note


@dataclass(frozen=True)
class Section:
    """A part of the document with its heading."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A business case. ``number`` counts its versions; ``said`` holds the words of persons."""

    title: str
    tenant: str
    number: int
    made_at: str
    sections: tuple[Section, ...]
    sources: tuple[Source, ...]
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def made(self) -> str:
        """When it was made, as a reader writes it."""
        return f"{datetime.fromisoformat(self.made_at).astimezone(UTC):%-d %B %Y, %H:%M} UTC"

    def to_json(self) -> dict[str, Any]:
        """Return plain data without the words of persons; ``read`` takes it back."""
        plain = asdict(replace(self, sections=(), said={}))
        del plain["said"]
        plain["sections"] = [
            {**asdict(replace(each, blocks=())), "blocks": [_tagged(one) for one in each.blocks]}
            for each in self.sections
        ]
        result = json.loads(json.dumps(plain))
        assert isinstance(result, dict)
        return result

    def number_of(self, source: str) -> int:
        """Return the number under which a source is listed."""
        return next(at for at, one in enumerate(self.sources, 1) if one.key == source)

    def hear(self, said: Said) -> str:
        """Return what a person said; "erased" where it is no longer there."""
        return self.said.get(said.key, "erased")


def say(template: str, **parts: Part) -> Text:
    """Return a text with parts in the places of a template: ``say("Worth {npv}.", npv=…)``."""
    text: list[Part] = []
    for words, name, _, _ in Formatter().parse(template):
        if words:
            text.append(words)
        if name:
            text.append(parts[name])
    return tuple(text)


def bounds_in(section: Section) -> Iterator[Bound]:
    """Yield the bound values of a section, in their order."""
    for text in texts_in(section):
        for part in text:
            if isinstance(part, Bound):
                yield part


def texts_in(section: Section) -> Iterator[Text]:
    """Yield every text of a section: sentences, points, cells."""
    for block in section.blocks:
        if isinstance(block, Paragraph):
            yield block.text
        elif isinstance(block, Points):
            yield from block.items
        elif isinstance(block, Table):
            for row in block.rows:
                yield from row


def only_source(table: Table) -> str:
    """Return the one source of all values of a table; "" where there are none or several."""
    found = {part.source for row in table.rows for cell in row for part in _bound(cell)}
    return found.pop() if len(found) == 1 else ""


def marked(text: Text) -> Iterator[tuple[Part, str]]:
    """Yield each part with the source to be named after it: once after values of one source."""
    values = list(_bound(text))
    following = [one.source for one in values[1:]]
    pairs = zip_longest((one.source for one in values), following)
    ends = iter([source if source != after else "" for source, after in pairs])
    for part in text:
        yield part, next(ends) if isinstance(part, Bound) else ""


def digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document's plain data."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def _bound(text: Text) -> Iterator[Bound]:
    return (part for part in text if isinstance(part, Bound))


# --- as plain data, and back ---------------------------------------------------------------------

_BLOCKS: dict[str, type] = {
    each.__name__: each for each in (Paragraph, Points, Table, Figure, Note)
}
_PARTS: dict[str, type] = {each.__name__: each for each in (Bound, Name, Said)}


def _tagged(node: Any) -> Any:
    if isinstance(node, tuple):
        return [_tagged(each) for each in node]
    if not hasattr(node, "__dataclass_fields__"):
        return node
    members = {name: _tagged(getattr(node, name)) for name in node.__dataclass_fields__}
    return {"is": type(node).__name__, **members}


def _untagged(node: Any) -> Any:
    if isinstance(node, list):
        return tuple(_untagged(each) for each in node)
    if not isinstance(node, dict):
        return node
    kind = (_BLOCKS | _PARTS)[node["is"]]
    return kind(**{name: _untagged(each) for name, each in node.items() if name != "is"})


def read(plain: Mapping[str, Any], said: Mapping[str, str]) -> Document:
    """Return the document of plain data, with the words of persons that are still there."""
    return Document(
        **{name: plain[name] for name in ("title", "tenant", "number", "made_at")},
        sections=tuple(
            Section(each["key"], each["title"], _untagged(each["blocks"]))
            for each in plain["sections"]
        ),
        sources=tuple(Source(**each) for each in plain["sources"]),
        said=said,
    )


# --- what changed --------------------------------------------------------------------------------

# The caption of the table in which a section tells its changes.
CHANGED = "Changed since the version before"


@dataclass(frozen=True)
class Change:
    """A value that differs between two documents; "" where one has none."""

    section: str
    label: str
    before: str
    after: str
    source: str

    @property
    def is_new(self) -> bool:
        """Whether the one before had no such value."""
        return not self.before


def list_changes(old: Document, new: Document) -> list[Change]:
    """Return what differs, section by section; a value is the same one by its key."""
    changes = []
    for section in new.sections:
        after = _by_key(section)
        before = next((_by_key(each) for each in old.sections if each.key == section.key), {})
        for key in dict.fromkeys([*after, *before]):
            then, now = before.get(key), after.get(key)
            texts = then.shown if then else "", now.shown if now else ""
            if texts[0] != texts[1]:
                one = now or then
                assert one is not None
                changes.append(Change(section.title, one.label, *texts, one.source))
    return changes


def _by_key(section: Section) -> dict[str, Bound]:
    own = tuple(block for block in section.blocks if not _tells_changes(block))
    return {one.key: one for one in bounds_in(replace(section, blocks=own))}


def _tells_changes(block: Block) -> bool:
    return isinstance(block, Table) and block.caption == CHANGED


def is_alike(old: Document, new: Document) -> bool:
    """Tell whether two documents say the same, apart from their number and their dates."""
    return _essence(old) == _essence(new)


def _essence(document: Document) -> Any:
    told = mark_changes(document, document)
    sections = [
        [block for block in each.blocks if not _tells_changes(block)] for each in told.sections
    ]
    sources = {(one.key, one.what, one.detail, one.url) for one in document.sources}
    kept = {one for one in sources if one[0] != "before"}
    return document.title, sections, kept, dict(document.said)


def mark_changes(document: Document, before: Document) -> Document:
    """Return the document with what the one before had beside each value that differs."""
    old = {each.key: _by_key(each) for each in before.sections}
    return replace(
        document,
        sections=tuple(
            replace(
                section,
                blocks=tuple(_mark(block, old.get(section.key, {})) for block in section.blocks),
            )
            for section in document.sections
        ),
    )


def _mark(node: Any, old: Mapping[str, Bound]) -> Any:
    if isinstance(node, tuple):
        return tuple(_mark(each, old) for each in node)
    if isinstance(node, Bound):
        then = old.get(node.key)
        was = then.shown if then else ""
        return replace(node, was=None if was == node.shown else was)
    if isinstance(node, Paragraph):
        return Paragraph(_mark(node.text, old))
    if isinstance(node, Points):
        return Points(_mark(node.items, old))
    if isinstance(node, Table):
        return replace(node, rows=_mark(node.rows, old))
    return node
