"""The figures of a business case as SVG, drawn from the numbers of the tables beside them.

Colours are attributes, so that a file stands alone; a page overrides them by class (cases.css).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from case_studies.drawing import HEIGHT, WIDTH, Axis, describe_tick, draw, write

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 44, 48
_FILLS = ("#0B5FCC", "#B45309", "#0F766E", "#7C3AED")
_RULE, _AXIS = "#E3E7EC", "#828C9A"
_SIZES = ((1e9, "billion "), (1e6, "million "), (1e3, "thousand "))
_BAR, _NAME_MAX, _NAME_WIDTH, _COLUMN_MAX = 26, 40, 250, 72


@dataclass(frozen=True)
class Scale:
    """Amounts in a size that fits an axis: million EUR."""

    size: float
    unit: str

    @classmethod
    def of(cls, amounts: Sequence[float], currency: str) -> Scale:
        """Return the largest size that keeps digits before the point."""
        largest = max(map(abs, amounts), default=0.0)
        size, word = next(((s, w) for s, w in _SIZES if largest >= s), (1.0, ""))
        return cls(size, f"{word}{currency}")

    def down(self, amounts: Sequence[float]) -> list[float]:
        """Return the amounts in this size."""
        return [amount / self.size for amount in amounts]


def draw_cash_flow(
    years: Sequence[int], stacks: Mapping[str, Sequence[float]], total: Sequence[float], code: str
) -> str:
    """Return columns for each year, gains up and costs down, and the running sum as a line."""
    scale = Scale.of([*total, *(each for stack in stacks.values() for each in stack)], code)
    columns = {name: scale.down(stack) for name, stack in stacks.items()}
    return draw_columns(
        [str(year) for year in years],
        columns,
        title="Cash flow by year",
        x_title="year",
        y_title=scale.unit,
        line=("Running sum", scale.down(total)),
    )


def draw_fan(rows: Sequence[Mapping[str, float]], code: str) -> str:
    """Return three quantiles of the cumulative present value by year."""
    scale = Scale.of([row[key] for row in rows for key in ("p10", "p90")], code)
    x = [row["year"] for row in rows]
    curves = [
        {"name": name, "x": x, "y": scale.down([row[key] for row in rows])}
        for key, name in (("p50", "Median"), ("p10", "Low"), ("p90", "High"))
    ]
    return draw(
        {
            "title": "Cumulative present value by year",
            "x_title": "year",
            "y_title": scale.unit,
            "curves": curves,
            "limit": 0.0,
            "limit_title": "",
        }
    )


def draw_columns(
    names: Sequence[str],
    stacks: Mapping[str, Sequence[float]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    line: tuple[str, Sequence[float]] | None = None,
) -> str:
    """Return stacked columns, values below 0 downwards, and a line over them."""
    places = range(len(names))
    up = [sum(max(stack[at], 0.0) for stack in stacks.values()) for at in places]
    down = [sum(min(stack[at], 0.0) for stack in stacks.values()) for at in places]
    axis = Axis([*up, *down, *(line[1] if line else ())], HEIGHT - _BOTTOM, _TOP)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
    # Half a run is none.
    parts = _rules(axis, whole=line is None)
    width = min(0.6 * step, _COLUMN_MAX)
    reached = {at: [0.0, 0.0] for at in places}
    for colour, stack in zip(_FILLS, stacks.values(), strict=False):
        for at, value in enumerate(stack):
            if not value:
                continue
            side = 0 if value > 0 else 1
            start = reached[at][side]
            reached[at][side] += value
            x = _LEFT + step * (at + 0.5) - width / 2
            parts.append(_column(x, width, axis, start, value, colour))
    every = -(-len(names) // 12)
    parts += [
        write(_LEFT + step * (at + 0.5), HEIGHT - _BOTTOM + 18, name, "middle")
        for at, name in enumerate(names)
        if at % every == 0
    ]
    if line:
        middles = [_LEFT + step * (at + 0.5) for at in places]
        parts.append(_line(middles, [axis.place(value) for value in line[1]]))
    parts += [write(WIDTH - _RIGHT, HEIGHT - 10, x_title, "end"), write(8, 16, y_title, "start")]
    return _svg(title, [*parts, *_legend(list(stacks), line[0] if line else "")], HEIGHT)


def draw_ranges(
    rows: Sequence[tuple[str, float, float]], base: float, *, title: str, code: str
) -> str:
    """Return a bar for each row from its low to its high value, around the base (a tornado)."""
    values = [value for _, low, high in rows for value in (low, high)]
    scale = Scale.of([*values, base], code)
    height = 72 + _BAR * len(rows)
    axis = Axis(scale.down([*values, base]), _NAME_WIDTH, WIDTH - _RIGHT)
    parts = []
    for tick in axis.ticks():
        x = axis.place(tick)
        parts += [
            _rule(x, x, 36, height - 36),
            write(x, height - 20, describe_tick(tick), "middle"),
        ]
    for at, (name, low, high) in enumerate(rows):
        y = 40 + _BAR * at
        short = name if len(name) <= _NAME_MAX else f"{name[: _NAME_MAX - 1]}…"
        parts.append(write(_NAME_WIDTH - 8, y + 13, short, "end"))
        for place, value in enumerate((low, high)):
            ends = sorted((axis.place(value / scale.size), axis.place(base / scale.size)))
            parts.append(_box(ends[0], y, ends[1] - ends[0], 18, _FILLS[1 - place], 2 - place))
    x = axis.place(base / scale.size)
    parts += [
        f'<line class="total" x1="{x:.1f}" x2="{x:.1f}" y1="36" y2="{height - 36}"'
        ' stroke="#12171F" stroke-width="1.5"/>',
        write(8, height - 4, f"net present value, {scale.unit}", "start"),
        _box(_NAME_WIDTH, 10, 14, 10, _FILLS[1], 2),
        write(_NAME_WIDTH + 20, 19, "input is low", "start"),
        _box(_NAME_WIDTH + 120, 10, 14, 10, _FILLS[0], 1),
        write(_NAME_WIDTH + 140, 19, "input is high", "start"),
    ]
    return _svg(title, parts, height)


def draw_matrix(risks: Sequence[tuple[int, int]], *, title: str) -> str:
    """Return the field of likelihood and impact, each risk by its row in the register."""
    width, height, left, top = 100, 44, 130, 12
    parts = []
    for likelihood in range(1, 6):
        for impact in range(1, 6):
            x, y = left + width * (impact - 1), top + height * (5 - likelihood)
            level = level_of(likelihood * impact)
            colour = {"low": "#E3F4EA", "medium": "#FFF1D6", "high": "#FDE7E8"}[level]
            here = [str(at) for at, one in enumerate(risks, 1) if one == (likelihood, impact)]
            parts += [
                f'<rect class="level-{level}" x="{x}" y="{y}" width="{width - 3}"'
                f' height="{height - 3}" rx="3" fill="{colour}"/>',
                f'<text class="strong" x="{x + width / 2 - 1.5:.1f}" y="{y + 26}" fill="#12171F"'
                f' text-anchor="middle" font-weight="600">{", ".join(here)}</text>',
            ]
    for step in range(1, 6):
        parts += [
            write(left + width * (step - 0.5), top + height * 5 + 16, str(step), "middle"),
            write(left - 10, top + height * (5.5 - step) + 4, str(step), "end"),
        ]
    parts += [
        write(left + width * 5, top + height * 5 + 34, "impact", "end"),
        write(left - 34, top + 24, "likelihood", "end"),
    ]
    return _svg(title, parts, top + height * 5 + 44)


def level_of(score: int) -> str:
    """Return low, medium or high for a likelihood times an impact, each 1 to 5."""
    if score >= 12:
        return "high"
    return "medium" if score >= 6 else "low"


def _svg(title: str, parts: list[str], height: int) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' font-family="Inter, Helvetica, Arial, sans-serif" font-size="12"'
        f' aria-label="{escape(title)}"><title>{escape(title)}</title>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _rules(axis: Axis, *, whole: bool) -> list[str]:
    parts = []
    for tick in axis.ticks():
        if whole and tick % 1:
            continue
        y = axis.place(tick)
        parts += [
            _rule(_LEFT, WIDTH - _RIGHT, y, y),
            write(_LEFT - 8, y + 4, describe_tick(tick), "end"),
        ]
    y = axis.place(0.0)
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
        f' stroke="{_AXIS}"/>'
    )
    return parts


def _rule(x1: float, x2: float, y1: float, y2: float) -> str:
    return (
        f'<line class="rule" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
        f' stroke="{_RULE}"/>'
    )


def _column(x: float, width: float, axis: Axis, start: float, value: float, colour: str) -> str:
    ends = sorted((axis.place(start), axis.place(start + value)))
    return _box(x, ends[0], width, ends[1] - ends[0], colour, _FILLS.index(colour) + 1)


def _box(x: float, y: float, width: float, height: float, colour: str, series: int) -> str:
    return (
        f'<rect class="fill-{series}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}"'
        f' height="{height:.1f}" fill="{colour}"/>'
    )


def _line(xs: Sequence[float], ys: Sequence[float]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return (
        f'<polyline class="total" points="{points}" fill="none" stroke="#12171F" stroke-width="2"/>'
    )


def _legend(names: Sequence[str], line: str) -> list[str]:
    parts, x = [], float(_LEFT)
    for at, name in enumerate(names):
        parts += [_box(x, 26, 14, 10, _FILLS[at], at + 1), write(x + 20, 36, name, "start")]
        x += 44 + 6.6 * len(name)
    if line:
        parts += [_line([x, x + 20], [31, 31]), write(x + 26, 36, line, "start")]
    return parts
