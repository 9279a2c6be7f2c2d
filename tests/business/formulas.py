"""A small evaluator of a workbook's formulas, which knows nothing of the calculator: the tokens of
openpyxl, an operator-precedence parser, and the functions that the workbook uses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy_financial as npf
from openpyxl.formula import Tokenizer
from openpyxl.utils import range_boundaries

_POWER = {"=": 1, "<": 1, ">": 1, "<=": 1, ">=": 1, "<>": 1, "+": 3, "-": 3, "*": 4, "/": 4, "^": 5}


class Book:
    """Evaluates cells of a loaded workbook on demand."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.known: dict[tuple[str, str], Any] = {}

    def value(self, sheet: str, cell: str) -> Any:
        key = (sheet, cell.replace("$", ""))
        if key not in self.known:
            content = self.book[sheet][key[1]].value
            is_formula = isinstance(content, str) and content.startswith("=")
            self.known[key] = _Parser(self, sheet, content).result() if is_formula else content
        return self.known[key]

    def range(self, sheet: str, text: str) -> Any:
        if "!" in text:
            sheet, text = text.split("!")
        if ":" not in text:
            return self.value(sheet, text)
        left, top, right, bottom = range_boundaries(text.replace("$", ""))
        rows = self.book[sheet].iter_rows(top, bottom, left, right)
        return [self.value(sheet, cell.coordinate) for row in rows for cell in row]


class _Parser:
    def __init__(self, book: Book, sheet: str, formula: str) -> None:
        self.book, self.sheet = book, sheet
        self.tokens = [t for t in Tokenizer(formula).items if t.type != "WHITE-SPACE"]
        self.at = 0

    def result(self) -> Any:
        found = self.expression(0)
        assert self.at == len(self.tokens), self.tokens[self.at :]
        return found

    def peek(self) -> Any:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> Any:
        self.at += 1
        return self.tokens[self.at - 1]

    def expression(self, above: int) -> Any:
        left = self.operand()
        while (token := self.peek()) and token.type == "OPERATOR-INFIX":
            strength = _POWER[token.value]
            if strength <= above:
                break
            self.take()
            left = _apply(token.value, left, self.expression(strength))
        return left

    def operand(self) -> Any:
        token = self.take()
        if token.type == "OPERATOR-PREFIX":
            # In a spreadsheet a sign binds more tightly than a power.
            value = self.operand()
            return -value if token.value == "-" else value
        if token.type == "OPERAND":
            if token.subtype == "RANGE":
                return self.book.range(self.sheet, token.value)
            return token.value.strip('"') if token.subtype == "TEXT" else float(token.value)
        if token.type == "PAREN":
            found = self.expression(0)
            self.take()
            return found
        assert token.type == "FUNC", token
        return self.call(token.value.rstrip("("))

    def call(self, name: str) -> Any:
        arguments = []
        while self.peek().subtype != "CLOSE":
            arguments.append(self.expression(0))
            if self.peek().type == "SEP":
                self.take()
        self.take()
        return FUNCTIONS[name](*arguments)


def _apply(sign: str, one: Any, other: Any) -> Any:
    if sign == "<":
        return one < other
    if sign == ">=":
        return one >= other
    if sign == "=":
        return one == other
    return {
        "+": lambda: one + other,
        "-": lambda: one - other,
        "*": lambda: one * other,
        "/": lambda: one / other if other else math.nan,
        "^": lambda: one**other,
    }[sign]()


def _numbers(values: Any) -> list[float]:
    listed = values if isinstance(values, list) else [values]
    return [v for v in listed if isinstance(v, int | float) and not isinstance(v, bool)]


FUNCTIONS: dict[str, Any] = {
    "SUM": lambda *values: math.fsum(n for each in values for n in _numbers(each)),
    "SUMPRODUCT": lambda one, other: math.fsum(a * b for a, b in zip(one, other, strict=True)),
    "COUNT": lambda *values: sum(len(_numbers(each)) for each in values),
    "MAX": lambda *values: max((n for each in values for n in _numbers(each)), default=0),
    "IF": lambda test, yes, no: yes if test else no,
    "AND": lambda *tests: all(tests),
    "OR": lambda *tests: any(tests),
    "EXP": math.exp,
    "LN": math.log,
    "NA": lambda: math.nan,
    "IRR": lambda flows: float(npf.irr(flows)),
    "MIRR": lambda flows, finance, reinvest: float(npf.mirr(flows, finance, reinvest)),
}
