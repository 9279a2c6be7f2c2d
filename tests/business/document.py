"""The generated parts of docs/reference/roi.md. ``python -m tests.business.document`` writes them
anew; a test compares them.
"""

from __future__ import annotations

import re
from pathlib import Path

from business import roi
from tests.business.reference import PROBLEMS, Problem

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "roi.md"
_BLOCK = r"(<!-- {name}: generated -->\n).*?(\n<!-- end -->)"


def written(page: str) -> str:
    """Return the page with its generated parts made anew."""
    parts = {"formulas": formulas(), "problems": problems(), "figures": figures()}
    for name, text in parts.items():
        pattern = re.compile(_BLOCK.format(name=name), re.DOTALL)
        page, count = pattern.subn(lambda found, text=text: found[1] + text + found[2], page)
        assert count == 1, name
    return page


def formulas() -> str:
    rows = ["| measure | formula | convention | source |", "|---|---|---|---|"]
    for f in roi.FORMULAS:
        # A bar ends a cell.
        cells = (cell.replace("|", "\\|") for cell in (f.title, f.text, f.note, f.source))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def problems() -> str:
    rows = [
        "| problem | flows | measure | published | ours | difference | source |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, PROBLEMS)])


def _row(problem: Problem) -> str:
    ours, published = problem.ours(), problem.published
    if isinstance(published, tuple):
        shown = [", ".join(_text(problem, value) for value in pair) for pair in (published, ours)]
        published_text, ours_text = (text or "none" for text in shown)
    else:
        published_text, ours_text = _text(problem, published), f"{ours:.{problem.decimals + 4}f}"
    gap = max(map(abs, problem.differences()), default=0.0)
    flows = ", ".join(map(str, problem.flows))
    cells = (problem.name, flows, problem.measure, published_text, ours_text)
    return f"| {' | '.join(cells)} | {gap:.1g} | {problem.source} |"


def _text(problem: Problem, value: float) -> str:
    return f"{value:.{problem.decimals}f}"


def figures() -> str:
    rows = ["| industry | figure | value | year | source |", "|---|---|---|---|---|"]
    rows += [
        f"| {industry.title} | {fact.label} | {fact.value:,.10g} {fact.unit} | {fact.year}"
        f" | [{fact.source}]({fact.url}) ({fact.note}) |"
        for industry in roi.INDUSTRIES.values()
        for fact in industry.facts
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
