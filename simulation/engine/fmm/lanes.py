"""Rows of eight doubles as vector instructions: eight bodies, or eight cells, at once.

A lane never sees another, so each does what one body alone would do, in the same order, with the
same roundings, on every processor. Left to the compiler the loops over the lanes stayed scalar,
because rows might overlap.

A table is a C-contiguous float64 array (rows, LANES). Callable in kernels only.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8

_int64 = ir.IntType(64)
_vector = ir.VectorType(ir.DoubleType(), LANES)


class _Rows:
    """The arguments of a call: rows of tables, and plain numbers."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self._context, self._kinds, self._arguments = context, signature.args, arguments

    def _place(self, table: int) -> Any:
        """Return where the row is: its number is the argument after the table's."""
        array = self._context.make_array(self._kinds[table])
        start = array(self._context, self.builder, value=self._arguments[table]).data
        along = self.builder.mul(self._arguments[table + 1], ir.Constant(_int64, LANES))
        return self.builder.bitcast(self.builder.gep(start, [along]), _vector.as_pointer())

    def read(self, table: int) -> Any:
        """Return a row."""
        found = self.builder.load(self._place(table))
        found.align = 8
        return found

    def write(self, table: int, row: Any) -> None:
        """Write a row."""
        self.builder.store(row, self._place(table)).align = 8

    def spread(self, number: int) -> Any:
        """Return a plain number in every lane."""
        nothing = ir.Constant(_vector, ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(nothing, self._arguments[number], first)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(one, nothing, everywhere)


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    shape = ir.FunctionType(_vector, [_vector] * 3)
    function = cgutils.get_or_insert_function(builder.module, shape, f"llvm.fma.v{LANES}f64")
    return builder.call(function, [a, b, c])


def _add_product(
    typing_context: Any, table: Any, row: Any, a: Any, row_of_a: Any, b: Any, row_of_b: Any
) -> Any:
    """Add a[row_of_a] * b[row_of_b] to table[row]: two roundings."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = _Rows(context, builder, signature, arguments)
        product = builder.fmul(rows.read(2), rows.read(4))
        rows.write(0, builder.fadd(rows.read(0), product))
        return context.get_dummy_value()

    return types.void(table, types.int64, a, types.int64, b, types.int64), generate


def _add_fused(
    typing_context: Any, table: Any, row: Any, a: Any, row_of_a: Any, factor: Any
) -> Any:
    """Add factor * a[row_of_a] to table[row] with one rounding."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = _Rows(context, builder, signature, arguments)
        rows.write(0, _fused(builder, rows.spread(4), rows.read(2), rows.read(0)))
        return context.get_dummy_value()

    return types.void(table, types.int64, a, types.int64, types.float64), generate


def _write_product(
    typing_context: Any, table: Any, row: Any, a: Any, row_of_a: Any, b: Any, row_of_b: Any, c: Any
) -> Any:
    """Write a[row_of_a] * b[row_of_b] * c to table[row]: two roundings, from the left."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = _Rows(context, builder, signature, arguments)
        product = builder.fmul(rows.read(2), rows.read(4))
        rows.write(0, builder.fmul(product, rows.spread(6)))
        return context.get_dummy_value()

    taken = (table, types.int64, a, types.int64, b, types.int64, types.float64)
    return types.void(*taken), generate


add_product: Any = intrinsic(_add_product)
add_fused: Any = intrinsic(_add_fused)
write_product: Any = intrinsic(_write_product)
