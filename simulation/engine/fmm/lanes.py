"""Eight places or cells side by side in vector instructions: for the walks over the tree.

A lane never sees another, so each does what one alone would do, in the same order, with the same
roundings, on every processor. A table is a C-contiguous float64 array (rows, LANES), or longer rows
of which LANES are read from some column on. Callable in kernels only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8

_byte, _int64 = ir.IntType(8), ir.IntType(64)
_vector = ir.VectorType(ir.DoubleType(), LANES)
_zeros = ir.Constant(_vector, [0.0] * LANES)


class _Rows:
    """The arguments of a call: tables, other arrays, and plain numbers."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self._context, self._kinds, self._arguments = context, signature.args, arguments

    def number(self, at: int) -> Any:
        """Return a plain argument."""
        return self._arguments[at]

    def read(self, table: int, row: Any) -> Any:
        """Return a row."""
        found = self.builder.load(self._vector_at(table, row))
        found.align = 8
        return found

    def read_at(self, table: int, row: int, column: Any) -> Any:
        """Return LANES of a longer row."""
        place = self._place(table, row, column)
        found = self.builder.load(self.builder.bitcast(place, _vector.as_pointer()))
        found.align = 8
        return found

    def spread_at(self, table: int, row: int, column: Any) -> Any:
        """Return one number of a longer row in every lane."""
        return self.spread(self.builder.load(self._place(table, row, column)))

    def write(self, table: int, row: Any, values: Any) -> None:
        """Write a row."""
        self.builder.store(values, self._vector_at(table, row)).align = 8

    def spread(self, value: Any) -> Any:
        """Return a number in every lane."""
        nothing = ir.Constant(_vector, ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        one = self.builder.insert_element(nothing, value, first)
        return self.builder.shuffle_vector(one, nothing, everywhere)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c with one rounding."""
        return self._call("llvm.fma", a, b, c)

    def root(self, a: Any) -> Any:
        """Return the square root."""
        return self._call("llvm.sqrt", a)

    def _place(self, table: int, row: int, column: Any) -> Any:
        made = self._context.make_array(self._kinds[table])
        array = made(self._context, self.builder, value=self._arguments[table])
        columns = cgutils.unpack_tuple(self.builder, array.shape)[-1]
        along = self.builder.add(self.builder.mul(ir.Constant(_int64, row), columns), column)
        return self.builder.gep(array.data, [along])

    def _vector_at(self, table: int, row: Any) -> Any:
        made = self._context.make_array(self._kinds[table])
        start = made(self._context, self.builder, value=self._arguments[table]).data
        along = self.builder.mul(row, ir.Constant(_int64, LANES))
        return self.builder.bitcast(self.builder.gep(start, [along]), _vector.as_pointer())

    def _call(self, name: str, *operands: Any) -> Any:
        shape = ir.FunctionType(_vector, [_vector] * len(operands))
        typed = f"{name}.v{LANES}f64"
        function = cgutils.get_or_insert_function(self.builder.module, shape, typed)
        return self.builder.call(function, operands)


def _generate(emit: Callable[[_Rows], Any]) -> Any:
    """Return what Numba calls to write the instructions of an intrinsic."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = emit(_Rows(context, builder, signature, arguments))
        return context.get_dummy_value() if found is None else found

    return generate


def _any_within(typing_context: Any, places: Any, x: Any, y: Any, z: Any, reach2: Any) -> Any:
    """Return whether a place (rows x, y, z) lies no farther from a point than a reach squared."""

    def emit(rows: _Rows) -> Any:
        _, r2 = _way(rows, 0, 1)
        near = rows.builder.fcmp_ordered("<=", r2, rows.spread(rows.number(4)))
        bits = rows.builder.bitcast(near, _byte)
        return rows.builder.icmp_unsigned("!=", bits, ir.Constant(_byte, 0))

    double = types.float64
    return types.boolean(places, double, double, double, double), _generate(emit)


def _add_pull(
    typing_context: Any,
    sums: Any,
    places: Any,
    x: Any,
    y: Any,
    z: Any,
    charge: Any,
    softening2: Any,
) -> Any:
    """Add the pull of a charge at the far sides of spheres (rows x, y, z, radius) to ``sums``.

    Nothing at their centres.
    """

    def emit(rows: _Rows) -> None:
        builder = rows.builder
        way, r2 = _way(rows, 1, 2)
        r = rows.root(r2)
        away = builder.fadd(r, rows.read(1, ir.Constant(_int64, 3)))
        away2 = rows.fused(away, away, rows.spread(rows.number(6)))
        pull = builder.fdiv(rows.spread(rows.number(5)), builder.fmul(away2, r))
        pull = builder.select(builder.fcmp_ordered(">", r, _zeros), pull, _zeros)
        for axis, component in enumerate(way):
            at = ir.Constant(_int64, axis)
            rows.write(0, at, rows.fused(pull, component, rows.read(0, at)))

    double = types.float64
    return types.void(sums, places, double, double, double, double, double), _generate(emit)


def _way(rows: _Rows, places: int, point: int) -> tuple[list[Any], Any]:
    """Return the ways from places to a point, and their lengths squared."""
    way = [
        rows.builder.fsub(
            rows.spread(rows.number(point + axis)),
            rows.read(places, ir.Constant(_int64, axis)),
        )
        for axis in range(3)
    ]
    r2 = _zeros
    for component in way:
        r2 = rows.fused(component, component, r2)
    return way, r2


def _judge(
    typing_context: Any,
    judged: Any,
    wanted: Any,
    b: Any,
    low: Any,
    order: Any,
    delta: Any,
    opening2: Any,
    direct: Any,
) -> Any:
    """Return what becomes of the pairs of the cell b with the LANES cells from ``low`` on: a bit
    for each that is far, from 2^8 on for each that is near, from 2^16 on for each that is to be
    split, and from 2^24 on for each whose first body is before b's. See ``traversal.find_pairs``.
    """

    def emit(rows: _Rows) -> Any:
        builder, low, b = rows.builder, rows.number(3), rows.number(2)
        ones = ir.Constant(_vector, [1.0] * LANES)
        delta, opening2, direct = (rows.spread(rows.number(at)) for at in (5, 6, 7))
        r2 = None
        for axis in range(3):
            way = builder.fsub(rows.read_at(0, axis, low), rows.spread_at(0, axis, b))
            square = builder.fmul(way, way)
            r2 = square if r2 is None else builder.fadd(r2, square)
        cells = [rows.read_at(0, row, low) for row in range(3, 9)]
        others = [rows.spread_at(0, row, b) for row in range(3, 9)]
        charge, radius, strength, bodies, first, leaf = zip(cells, others, strict=True)
        reach = builder.fadd(*radius)
        reach2 = builder.fmul(reach, reach)
        u2 = builder.fdiv(reach2, r2)
        u = rows.root(u2)
        # (P + 1) u^P for P = 5 or 7.
        seven = builder.icmp_signed("==", rows.number(4), ir.Constant(_int64, 7))
        more = builder.select(seven, u2, ones)
        count = rows.spread(builder.sitofp(rows.number(4), ir.DoubleType()))
        error = builder.fmul(builder.fadd(count, ones), builder.fmul(u, builder.fmul(u2, u2)))
        error = builder.fmul(error, more)
        rest = builder.fsub(ones, u)
        limit = builder.fmul(builder.fmul(delta, r2), builder.fmul(rest, rest))

        def within(acting: Any, felt: Any) -> Any:
            pull, strongest = builder.fmul(error, acting), builder.fmul(limit, felt)
            return builder.fcmp_ordered("<=", pull, strongest)

        apart = builder.fcmp_ordered("<", reach2, builder.fmul(opening2, r2))
        apart = builder.and_(apart, within(charge[1], strength[0]))
        apart = builder.and_(apart, within(charge[0], strength[1]))
        leaves = builder.fcmp_ordered(">", builder.fmul(*leaf), _zeros)
        few = builder.fcmp_ordered("<=", builder.fmul(*bodies), direct)
        apart = builder.and_(apart, builder.not_(builder.and_(leaves, few)))
        want = [rows.read_at(1, 0, low), rows.spread_at(1, 0, b)]
        wanted = [builder.fcmp_ordered(">", some, _zeros) for some in want]
        before = builder.fcmp_ordered("<", *first)
        either, of_first = builder.or_(*wanted), builder.select(before, *wanted)
        close = builder.not_(apart)
        near = builder.and_(builder.and_(leaves, close), of_first)
        split = builder.and_(builder.and_(builder.not_(leaves), close), either)
        found = ir.Constant(_int64, 0)
        for at, mask in enumerate((builder.and_(apart, either), near, split, before)):
            bits = builder.zext(builder.bitcast(mask, _byte), _int64)
            found = builder.or_(found, builder.shl(bits, ir.Constant(_int64, LANES * at)))
        return found

    whole, real = types.int64, types.float64
    return whole(judged, wanted, whole, whole, whole, real, real, real), _generate(emit)


any_within: Any = intrinsic(_any_within)
add_pull: Any = intrinsic(_add_pull)
judge: Any = intrinsic(_judge)
