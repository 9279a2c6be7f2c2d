"""Eight places as rows of doubles in vector instructions: for the walks of ``strengths``.

A lane never sees another, so each does what one alone would do, in the same order, with the same
roundings, on every processor. A table is a C-contiguous float64 array (rows, LANES). Callable in
kernels only.
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


any_within: Any = intrinsic(_any_within)
add_pull: Any = intrinsic(_add_pull)
