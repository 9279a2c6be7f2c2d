"""What every benchmark does with its figures: a table, ``results/<area>.json`` and
``results/<area>.svg``.

A row is a figure of ours, beside a peer's where there is one, with the goal that it was measured
against. Nothing here judges more than ``met``: whether ours is within the goal.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure; ``goal`` is at most that much, or at least where more is better."""

    name: str
    ours: float
    unit: str
    peer: float | None = None
    goal: float | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer."""
        if not self.peer or not self.ours:
            return None
        return self.ours / self.peer if self.more_is_better else self.peer / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the goal is met."""
        if self.goal is None:
            return None
        return self.ours >= self.goal if self.more_is_better else self.ours <= self.goal


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)]


def median(values: list[float]) -> float:
    return statistics.median(values)


def publish(area: str, rows: list[Row], notes: list[str]) -> None:
    """Print the table and write the figures and the plot."""
    RESULTS.mkdir(exist_ok=True)
    described = [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows]
    for row in described:
        del row["more_is_better"]
    answer = {
        "area": area,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "notes": notes,
        "rows": described,
    }
    (RESULTS / f"{area}.json").write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / f"{area}.svg").write_text(draw(area, rows))
    print(table(rows))
    for note in notes:
        print(f"  {note}")
    print(f"Written: benchmarks/results/{area}.json and {area}.svg")


def describe_machine() -> dict[str, object]:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load_1m_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def table(rows: list[Row]) -> str:
    head = ("figure", "ours", "peer", "unit", "ratio", "goal", "met")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    sign = "≥" if row.more_is_better else "≤"
    return (
        row.name,
        f"{row.ours:.4g}",
        "–" if row.peer is None else f"{row.peer:.4g}",
        row.unit,
        "–" if row.ratio is None else f"{row.ratio:.3g}×",
        "–" if row.goal is None else f"{sign} {row.goal:g}",
        {None: "–", True: "yes", False: "no"}[row.met],
    )


def draw(area: str, rows: list[Row]) -> str:
    """Return bars as SVG, each against its goal (the line), so that figures of any unit fit one
    picture.
    """
    shown = [row for row in rows if row.goal]
    height = 40 + 34 * len(shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="760" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-weight="bold">{escape(area)}: measured / goal (line)</text>',
    ]
    for index, row in enumerate(shown):
        y = 40 + 34 * index
        width = min(row.ours / (row.goal or 1), 2) * 130
        colour = "#0F6B3C" if row.met else "#B3151F"
        cells = _cells(row)
        parts += [
            f'<text x="12" y="{y + 16}">{escape(row.name)}</text>',
            f'<rect x="330" y="{y + 4}" width="{width:.1f}" height="16" fill="{colour}"/>',
            f'<line x1="460" x2="460" y1="{y}" y2="{y + 24}" stroke="#12171F" stroke-width="2"/>',
            f'<text x="600" y="{y + 16}">{escape(f"{cells[1]} {cells[3]}")}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
