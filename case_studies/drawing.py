"""The figures of a study as SVG: one line chart, drawn from the result's own numbers.

Colours are attributes, so that the file stands alone; a page overrides them by class, so that it
follows the theme.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

from case_studies.study import number

WIDTH, HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 44, 48
_COLOURS = ("#0B5FCC", "#B45309", "#0F766E", "#7C3AED")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_TICKS = 5


class Axis:
    """Maps numbers to places along one side; 0 is always on it."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        self._start, self._end = start, end
        self._low, self._high = min(*values, 0.0), max(values)
        self._high += 0.05 * (self._high - self._low)
        if self._low == self._high:
            self._high += 1.0

    def place(self, value: float) -> float:
        """Return where a number stands."""
        share = (value - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Return some five round numbers on the axis."""
        rough = (self._high - self._low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        width = power * next(each for each in (1, 2, 5, 10) if each * power >= rough)
        first, last = math.ceil(self._low / width), math.floor(self._high / width)
        return [each * width for each in range(first, last + 1)]


def draw(figure: dict[str, Any]) -> str:
    """Return a figure as an SVG document."""
    curves, limit = figure["curves"], figure["limit"]
    xs = [x for curve in curves for x in curve["x"]]
    ys = [y for curve in curves for y in curve["y"]] + ([] if limit is None else [limit])
    across = Axis(xs, _LEFT, WIDTH - _RIGHT)
    up = Axis(ys, HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' font-family="Inter, Helvetica, Arial, sans-serif" font-size="12"'
        f' aria-label="{escape(figure["title"])}">',
        f"<title>{escape(figure['title'])}</title>",
        *_grid(figure, across, up),
        *_limit(figure, up),
    ]
    for at, curve in enumerate(curves):
        parts += _curve(curve, at, across, up)
    return "\n".join([*parts, *_legend(curves), "</svg>"]) + "\n"


def _grid(figure: dict[str, Any], across: Axis, up: Axis) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = []
    for tick in up.ticks():
        y = up.place(tick)
        parts += [
            f'<line class="rule" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"'
            ' stroke="#E3E7EC"/>',
            write(_LEFT - 8, y + 4, describe_tick(tick), "end"),
        ]
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(write(x, bottom + 18, describe_tick(tick), "middle"))
    return [
        *parts,
        f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"'
        ' stroke="#828C9A"/>',
        write(right, bottom + 38, figure["x_title"], "end"),
        write(8, 16, figure["y_title"], "start"),
    ]


def _limit(figure: dict[str, Any], up: Axis) -> list[str]:
    if figure["limit"] is None:
        return []
    y, right = up.place(figure["limit"]), WIDTH - _RIGHT
    return [
        f'<line class="limit" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"'
        ' stroke="#B3151F" stroke-width="1.5"/>',
        f'<text class="limit-title" x="{right}" y="{y - 5:.1f}" text-anchor="end" fill="#B3151F">'
        f"{escape(figure['limit_title'])}</text>",
    ]


def _curve(curve: dict[str, Any], at: int, across: Axis, up: Axis) -> list[str]:
    places = [
        f"{across.place(x):.1f},{up.place(y):.1f}"
        for x, y in zip(curve["x"], curve["y"], strict=True)
    ]
    return [
        f'<polyline class="series-{at + 1}" points="{" ".join(places)}" fill="none"'
        f' stroke="{_COLOURS[at]}" stroke-width="2" stroke-dasharray="{_DASHES[at] or "none"}"/>'
    ]


def _legend(curves: list[dict[str, Any]]) -> list[str]:
    parts, x = [], float(_LEFT)
    for at, curve in enumerate(curves):
        parts += [
            f'<line class="series-{at + 1}" x1="{x:.0f}" x2="{x + 24:.0f}" y1="32" y2="32"'
            f' stroke="{_COLOURS[at]}" stroke-width="2"'
            f' stroke-dasharray="{_DASHES[at] or "none"}"/>',
            write(x + 30, 36, curve["name"], "start"),
        ]
        x += 54 + 6.6 * len(curve["name"])
    return parts


def describe_tick(value: float) -> str:
    """Return a number beside an axis."""
    return number(value, 2) if abs(value) < 1000 else f"{value:,.0f}"


def write(x: float, y: float, words: str, anchor: str) -> str:
    """Return words at a place."""
    return (
        f'<text class="ink" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#505A68">'
        f"{escape(words)}</text>"
    )
