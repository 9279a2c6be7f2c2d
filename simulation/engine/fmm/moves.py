"""Expansions moved about in vector instructions: from bodies to a cell, from cell to cell, and to
bodies again. Eight bodies or children at once, one a lane.

With d the way between two centres, or from a centre to a body:

    M_n = sum of weight d^n / n!            the moments of a leaf
    M'_n = sum over k <= n of M_k d^(n-k) / (n-k)!                upward, to the centre above
    L'_k = sum over n >= k of L_n d^(n-k) / (n-k)!                downward, to a child's centre
    u = sum of L_n d^n / n!                                       the field at a body

A move is three, along one axis each: exact as well, and a third of the operations. Fields are
summed by Horner's scheme, axis by axis. A lane never sees another but where sums are folded, so
each does what it would do alone, in the same order, with the same roundings, on every processor.
Terms are those of ``far.indices``. Callable in kernels only; written out for each order.

Source: Dehnen (2002), J. Comput. Phys. 179, 27, eqs. 3 to 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simulation.engine.fmm.far import Index, indices
from simulation.engine.forces.vectors import (
    DOUBLE,
    DOUBLE_TYPE,
    INT32,
    INT64,
    Emitter,
    align_stack,
    transposed,
)

LANES = 8
_CENTRE = 4  # x, y, z and the size of a cell
_FIRST = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
_whole = types.int64


class _Call:
    """The arguments of a call: arrays, counted along their memory, and whole numbers."""

    def __init__(self, order: int, context: Any, builder: Any, kinds: Any, arguments: Any) -> None:
        self.builder = builder
        self.emit = Emitter(builder, DOUBLE, LANES)
        self.terms = indices(order)
        self._context, self._kinds, self._arguments = context, kinds, arguments

    def number(self, at: int) -> Any:
        return self._arguments[at]

    def array(self, at: int) -> Any:
        return self._context.make_array(self._kinds[at])(
            self._context, self.builder, value=self._arguments[at]
        )

    def place(self, at: int, along: Any) -> Any:
        return self.builder.gep(self.array(at).data, [along])

    def row(self, at: int, row: Any, length: int) -> Any:
        """Return where a row of an array begins."""
        return self.place(at, self.builder.mul(row, ir.Constant(INT64, length)))

    def after(self, place: Any, many: int) -> Any:
        return self.builder.gep(place, [ir.Constant(INT64, many)])

    def load(self, place: Any, vector: Any = None) -> Any:
        kind = vector or self.emit.reals
        found = self.builder.load(self.builder.bitcast(place, kind.as_pointer()))
        found.align = 8
        return found

    def store(self, vector: Any, place: Any) -> None:
        target = self.builder.bitcast(place, vector.type.as_pointer())
        self.builder.store(vector, target).align = 8

    def spread(self, place: Any) -> Any:
        return self.emit.spread(self.builder.load(place))

    def everywhere(self, number: Any) -> Any:
        """Return a whole number in every lane."""
        nothing = ir.Constant(ir.VectorType(INT64, LANES), ir.Undefined)
        one = self.builder.insert_element(nothing, number, ir.Constant(INT32, 0))
        return self.builder.shuffle_vector(one, nothing, _FIRST)

    def times(self, a: Any, factor: float) -> Any:
        return a if factor == 1.0 else self.builder.fmul(a, self.emit.constant(factor))

    def children(self, child: Any, children: Any, empty: Any) -> list[Any]:
        """Return the children, one a lane; where there are no more, the empty cell."""
        builder, found = self.builder, []
        for k in range(LANES):
            lane = ir.Constant(INT64, k)
            there = builder.icmp_signed("<", lane, children)
            found.append(builder.select(there, builder.add(child, lane), empty))
        return found

    def ways_to(self, cells: list[Any], centre: int, c: Any) -> list[Any]:
        """Return the ways from the centre of c to those of others."""
        four = ir.VectorType(DOUBLE_TYPE, _CENTRE)
        own, rows = self.load(self.row(centre, c, _CENTRE), four), []
        for cell in cells:
            way = self.builder.fsub(self.load(self.row(centre, cell, _CENTRE), four), own)
            wider = ir.Constant(ir.VectorType(INT32, LANES), [*range(_CENTRE)] * 2)
            rows.append(self.builder.shuffle_vector(way, way, wider))
        return transposed(self.builder, rows)[:3]

    def ways_to_bodies(self, x: int, first: Any, centre: int, c: Any) -> list[Any]:
        """Return the ways from the centre of c to the bodies from ``first`` on."""
        place, ways = self.row(centre, c, _CENTRE), []
        columns = cgutils.unpack_tuple(self.builder, self.array(x).shape)[1]
        for axis in range(3):
            row = self.builder.mul(ir.Constant(INT64, axis), columns)
            body = self.load(self.place(x, self.builder.add(row, first)))
            ways.append(self.builder.fsub(body, self.spread(self.after(place, axis))))
        return ways

    def shifted(self, terms: dict[Index, Any], ways: list[Any], *, up: bool) -> dict[Index, Any]:
        """Return an expansion about another centre."""
        for axis, way in enumerate(ways):
            powers = [way]
            for k in range(2, sum(self.terms[-1]) + 1):
                powers.append(self.times(self.builder.fmul(powers[-1], way), 1.0 / k))
            terms = {
                index: self._shifted_along(index, axis, powers, terms, up=up) for index in terms
            }
        return terms

    def _shifted_along(
        self, index: Index, axis: int, powers: list[Any], terms: dict[Index, Any], *, up: bool
    ) -> Any:
        found = terms[index]
        for k, power in enumerate(powers, start=1):
            origin = _moved(index, axis, -k if up else k)
            if origin in terms:
                found = self.emit.multiply_add(terms[origin], power, found)
        return found

    def horner(self, ways: list[Any], terms: list[Any]) -> Any:
        """Return sum of terms[k] way^k / k!; ``ways``: the way over 1, 2, ..."""
        found = terms[-1]
        for k in range(len(terms) - 1, 0, -1):
            found = self.emit.multiply_add(found, ways[k - 1], terms[k - 1])
        return found


def _moved(index: Index, axis: int, change: int) -> Index:
    a, b, c = (value + change * (i == axis) for i, value in enumerate(index))
    return a, b, c


def _add_powers(call: _Call) -> None:
    builder = call.builder
    first, many, c = call.number(2), call.number(3), call.number(5)
    x, y, z = call.ways_to_bodies(0, first, 4, c)
    whole = ir.VectorType(INT64, LANES)
    bits = builder.bitcast(call.load(call.place(1, first)), whole)
    lanes, none = (ir.Constant(whole, values) for values in (list(range(LANES)), [0] * LANES))
    there = builder.icmp_signed("<", lanes, call.everywhere(many))
    of_z = builder.bitcast(builder.select(there, bits, none), call.emit.reals)
    at = {index: i for i, index in enumerate(call.terms)}
    order = sum(call.terms[-1])
    for k in range(order + 1):
        of_y = of_z
        for j in range(order + 1 - k):
            of_x = of_y
            for i in range(order + 1 - k - j):
                place = call.place(6, ir.Constant(INT64, at[i, j, k] * LANES))
                call.store(builder.fadd(call.load(place), of_x), place)
                of_x = builder.fmul(of_x, x)
            of_y = builder.fmul(of_y, y)
        of_z = builder.fmul(of_z, z)


def _write_moments(call: _Call) -> None:
    places = [call.place(0, ir.Constant(INT64, i * LANES)) for i in range(len(call.terms))]
    target = call.row(1, call.number(2), len(places))
    shares = [1.0 / math.prod(map(math.factorial, index)) for index in call.terms]
    _store_folded(call, [call.load(place) for place in places], target, shares)


def _store_folded(call: _Call, sums: list[Any], target: Any, shares: list[float]) -> None:
    """Store the shares of what the lanes of each sum come to, side by side."""
    for begin in range(0, len(sums), LANES):
        end = begin + LANES
        (folded,) = call.emit.fold(sums[begin:end], call.builder.fadd)
        share = ir.Constant(call.emit.reals, shares[begin:end])
        call.store(call.builder.fmul(folded, share), call.after(target, begin))


def _gather_moments(call: _Call) -> None:
    many, c = len(call.terms), call.number(5)
    cells = call.children(call.number(1), call.number(2), call.number(3))
    ways, starts = call.ways_to(cells, 4, c), [call.row(0, cell, many) for cell in cells]
    terms: dict[Index, Any] = {}
    for begin in range(0, many, LANES):
        rows = [call.load(call.after(start, begin)) for start in starts]
        columns = transposed(call.builder, rows)
        terms.update(zip(call.terms[begin : begin + LANES], columns, strict=True))
    moved = call.shifted(terms, ways, up=True)
    _store_folded(call, list(moved.values()), call.row(0, c, many), [1.0] * many)


def _scatter_field(call: _Call) -> None:
    builder, many = call.builder, len(call.terms)
    child, children, c = call.number(1), call.number(2), call.number(5)
    ways = call.ways_to(call.children(child, children, call.number(3)), 4, c)
    start = call.row(0, c, many)
    terms = {index: call.spread(call.after(start, i)) for i, index in enumerate(call.terms)}
    moved = list(call.shifted(terms, ways, up=False).values())
    parts = [transposed(builder, moved[begin : begin + LANES]) for begin in range(0, many, LANES)]
    for k in range(LANES):
        lane = ir.Constant(INT64, k)
        with builder.if_then(builder.icmp_signed("<", lane, children)):
            target = call.row(0, builder.add(child, lane), many)
            for i, part in enumerate(parts):
                place = call.after(target, i * LANES)
                call.store(builder.fadd(call.load(place), part[k]), place)


def _fold_field(call: _Call) -> None:
    builder, half = call.builder, ir.VectorType(ir.FloatType(), LANES)
    size, target = call.number(1), call.row(2, call.number(3), len(call.terms))
    unit = builder.fdiv(ir.Constant(DOUBLE_TYPE, 1.0), size)
    units = [ir.Constant(DOUBLE_TYPE, 1.0)]
    for _ in range(sum(call.terms[-1])):
        units.append(builder.fmul(units[-1], unit))
    spread = [call.emit.spread(value) for value in units]
    wide = []
    for i in range(len(call.terms)):
        low, high = (
            builder.fpext(call.load(call.place(0, ir.Constant(INT64, at)), half), call.emit.reals)
            for at in (2 * i * LANES, (2 * i + 1) * LANES)
        )
        wide.append(builder.fadd(low, high))
    for begin in range(0, len(wide), LANES):
        (folded,) = call.emit.fold(wide[begin : begin + LANES], builder.fadd)
        degrees = [sum(index) for index in call.terms[begin : begin + LANES]]
        scale = spread[degrees[0]]
        for degree in sorted({*degrees} - {degrees[0]}):
            lanes = [k + LANES * (degrees[k] == degree) for k in range(LANES)]
            mask = ir.Constant(ir.VectorType(INT32, LANES), lanes)
            scale = builder.shuffle_vector(scale, spread[degree], mask)
        call.store(builder.fmul(folded, scale), call.after(target, begin))


def _write_field(call: _Call) -> None:
    c, order = call.number(4), sum(call.terms[-1])
    ways = call.ways_to_bodies(1, call.number(2), 3, c)
    x, y, z = ([call.times(way, 1.0 / k) for k in range(1, order + 1)] for way in ways)
    start = call.row(0, c, len(call.terms))
    terms = {index: call.spread(call.after(start, i)) for i, index in enumerate(call.terms)}
    # By z the sums over x and y of the field, of its slope along x, and of that along y.
    values, slopes_x, slopes_y = [], [], []
    for k in range(order + 1):
        lines = [[terms[i, j, k] for i in range(order + 1 - j - k)] for j in range(order + 1 - k)]
        sums = [call.horner(x, line) for line in lines]
        values.append(call.horner(y, sums))
        if k < order:
            slopes_x.append(call.horner(y, [call.horner(x, line[1:]) for line in lines[:-1]]))
            slopes_y.append(call.horner(y, sums[1:]))
    found = [call.horner(z, sums) for sums in (slopes_x, slopes_y, values[1:], values)]
    for row, sums in enumerate(found):
        call.store(sums, call.place(5, ir.Constant(INT64, row * LANES)))


def _intrinsic(typed: Callable[..., Any], order: int) -> Any:
    """Return an intrinsic; a name of its own keeps its code on disk apart from other orders'."""
    typed.__name__ = typed.__qualname__ = f"{typed.__name__}_{order}"
    return intrinsic(typed)


def _generate(emit: Callable[[_Call], None], order: int) -> Any:
    """Return what Numba calls to write the instructions of an intrinsic."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        align_stack(builder)
        emit(_Call(order, context, builder, signature.args, arguments))
        return context.get_dummy_value()

    return generate


@cache
def add_powers(order: int) -> Any:
    """Return add_powers(x, weight, first, many, centre, c, sums).

    It adds weight d^n of the ``many`` <= LANES bodies from ``first`` on to ``sums`` (terms, LANES).
    ``x`` (3, N + LANES), ``weight`` (N + LANES,); ``centre`` (cells, 4): x, y, z, size.
    """

    def add_powers(
        typing_context: Any,
        x: Any,
        weight: Any,
        first: Any,
        many: Any,
        centre: Any,
        c: Any,
        sums: Any,
    ) -> Any:
        taken = (x, weight, _whole, _whole, centre, _whole, sums)
        return types.void(*taken), _generate(_add_powers, order)

    return _intrinsic(add_powers, order)


@cache
def write_moments(order: int) -> Any:
    """Return write_moments(sums, moments, c).

    It writes what the lanes of ``sums`` come to, over n!, to row c of ``moments`` (cells, terms).
    """

    def write_moments(typing_context: Any, sums: Any, moments: Any, c: Any) -> Any:
        return types.void(sums, moments, _whole), _generate(_write_moments, order)

    return _intrinsic(write_moments, order)


@cache
def gather_moments(order: int) -> Any:
    """Return gather_moments(moments, child, children, empty, centre, c).

    It writes row c of ``moments`` from those of its ``children``, of which ``child`` is the first;
    the row of the ``empty`` cell holds zeros.
    """

    def gather_moments(
        typing_context: Any,
        moments: Any,
        child: Any,
        children: Any,
        empty: Any,
        centre: Any,
        c: Any,
    ) -> Any:
        taken = (moments, _whole, _whole, _whole, centre, _whole)
        return types.void(*taken), _generate(_gather_moments, order)

    return _intrinsic(gather_moments, order)


@cache
def scatter_field(order: int) -> Any:
    """Return scatter_field(fields, child, children, empty, centre, c).

    It adds row c of ``fields`` (cells, terms) to those of its children, about their centres.
    """

    def scatter_field(
        typing_context: Any, fields: Any, child: Any, children: Any, empty: Any, centre: Any, c: Any
    ) -> Any:
        taken = (fields, _whole, _whole, _whole, centre, _whole)
        return types.void(*taken), _generate(_scatter_field, order)

    return _intrinsic(scatter_field, order)


@cache
def fold_field(order: int) -> Any:
    """Return fold_field(sums, size, fields, at).

    It writes what the lanes of ``sums`` (terms * far.LANES, float32), in units of ``size``, come to
    to row ``at`` of ``fields`` (sinks, terms).
    """

    def fold_field(typing_context: Any, sums: Any, size: Any, fields: Any, at: Any) -> Any:
        return types.void(sums, types.float64, fields, _whole), _generate(_fold_field, order)

    return _intrinsic(fold_field, order)


@cache
def write_field(order: int) -> Any:
    """Return write_field(fields, x, first, centre, c, total).

    It writes the slopes and the value of row c of ``fields`` at LANES bodies from ``first`` on to
    ``total`` (4, LANES).
    """

    def write_field(
        typing_context: Any, fields: Any, x: Any, first: Any, centre: Any, c: Any, total: Any
    ) -> Any:
        taken = (fields, x, _whole, centre, _whole, total)
        return types.void(*taken), _generate(_write_field, order)

    return _intrinsic(write_field, order)
