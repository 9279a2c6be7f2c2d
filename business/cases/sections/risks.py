"""The register of risks, and what the scenario says about losing."""

from __future__ import annotations

from business.cases import drawing
from business.cases.document import (
    Block,
    Bound,
    Figure,
    Name,
    Paragraph,
    Said,
    Section,
    Table,
    say,
)
from business.cases.inputs import Inputs
from business.cases.sections.common import REGISTER, cells, loss, notes


def write_risks(inputs: Inputs) -> Section:
    """Return the register, its field, and the simulated chance of a loss."""
    blocks: list[Block] = [
        Paragraph(
            say(
                "The simulated probability that the change loses money is {loss}. The register"
                " below holds judgements: nobody measured a likelihood or an impact.",
                loss=loss(inputs),
            )
        )
    ]
    if inputs.risks:
        blocks += [
            Figure(
                "matrix",
                "Likelihood and impact",
                "Each risk by its row in the register; the further up and right, the worse.",
                drawing.draw_matrix(
                    [(one.likelihood, one.impact) for one in inputs.risks],
                    title="Likelihood and impact",
                ),
                (REGISTER,),
            ),
            _register(inputs),
        ]
    else:
        blocks.append(Paragraph(("The register is empty: no risk was judged.",)))
    return Section("risks", "Risk assessment", (*blocks, *notes(inputs, "risks")))


def _register(inputs: Inputs) -> Table:
    rows = []
    for at, one in enumerate(inputs.risks):
        score = one.likelihood * one.impact

        def bound(key: str, value: object, at: int = at, title: str = one.title) -> Bound:
            return Bound(f"risk.{at}.{key}", f"{title}: {key}", str(value), REGISTER)

        rows.append(
            cells(
                (bound("row", at + 1),),
                (Name(one.title),),
                (bound("likelihood", one.likelihood),),
                (bound("impact", one.impact),),
                (bound("score", f"{score}, {drawing.level_of(score)}"),),
                (Name(one.mitigation),) if one.mitigation else "none yet",
                (Said(f"risk.{at}"),) if one.owner else "nobody yet",
            )
        )
    head = ("Row", "Risk", "Likelihood", "Impact", "Score", "Mitigation", "Owner")
    return Table(
        "Risk register: likelihood and impact judged from lowest to highest, score their product",
        head,
        tuple(rows),
        (0, 2, 3),
    )
