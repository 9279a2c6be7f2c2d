"""Vectors in kernels: arithmetic written out, in double or single precision.

The same operations on the same lanes on every processor: nothing is left to a compiler's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS

# 1/sqrt(a) starts from the bits of a: halving them halves the exponent. 1 - a y^2 is then within
# 0.07; the polynomial of least error there, and the series of 1/sqrt(1 - e), leave 2^-58 of it (in
# single precision 2^-29).
SEED = 0x5FE6EB50C7B537A9
LEAST = (1.0000002132934889, 0.5010959205142321, 0.3755022440062009)
SERIES = (0.5, 0.375, 0.3125)

# Bytes of a line of the cache.
_LINE = 64

DOUBLE_TYPE, BOOL = ir.DoubleType(), ir.IntType(1)
INT32, INT64 = ir.IntType(32), ir.IntType(64)


@dataclass(frozen=True)
class Precision:
    """What numbers a row is computed in: ``real``, and integers ``whole`` that are as long.

    Adding ``rounder`` leaves integers in the last bits, see ``arithmetic.ROUNDER``. ``seed`` and
    ``series``: of the inverse root. ``lanes`` of a vector of 32 bytes.
    """

    name: str
    real: Any
    whole: Any
    rounder: float
    rounder_bits: int
    seed: int
    series: tuple[float, ...]
    lanes: int


DOUBLE = Precision("f64", DOUBLE_TYPE, INT64, ROUNDER, ROUNDER_BITS, SEED, SERIES, 4)
# For |value| < 2^22.
SINGLE_ROUNDER = 1.5 * 2.0**23
SINGLE_ROUNDER_BITS = 0x4B400000
SINGLE = Precision(
    "f32",
    ir.FloatType(),
    INT32,
    SINGLE_ROUNDER,
    SINGLE_ROUNDER_BITS,
    0x5F3759DF,
    (0.5,),
    8,
)


class Emitter:
    """Vectors of numbers and of their bits, as wide as the processor's."""

    def __init__(self, builder: Any, precision: Precision, lanes: int) -> None:
        self.builder = builder
        self.precision = precision
        self.lanes = lanes
        self.reals = ir.VectorType(precision.real, lanes)
        self.whole = ir.VectorType(precision.whole, lanes)
        self._fma = self._declare("llvm.fma", 3)

    def _declare(self, name: str, operands: int) -> Any:
        shape = ir.FunctionType(self.reals, [self.reals] * operands)
        return cgutils.get_or_insert_function(
            self.builder.module, shape, f"{name}.v{self.lanes}{self.precision.name}"
        )

    def constant(self, value: float) -> Any:
        """Return a number in every lane."""
        return ir.Constant(self.reals, [value] * self.lanes)

    def spread(self, value: Any) -> Any:
        """Return a value in every lane."""
        nothing = ir.Constant(self.reals, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(INT32, 0))
        everywhere = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, nothing, everywhere)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c with one rounding."""
        return self.builder.call(self._fma, [a, b, c])

    def inverse_root(self, a: Any) -> Any:
        """Return 1/sqrt(a), see ``pairs.inverse_root``, by as long a series as it takes."""
        builder, one = self.builder, self.constant(1.0)
        seed, half = (
            ir.Constant(self.whole, [bits] * self.lanes) for bits in (self.precision.seed, 1)
        )
        y = builder.bitcast(builder.sub(seed, builder.lshr(self.bits(a), half)), self.reals)
        e = self.multiply_add(builder.fneg(builder.fmul(a, y)), y, one)
        y = builder.fmul(y, self._polynomial(LEAST, e))
        e = self.multiply_add(builder.fneg(builder.fmul(a, y)), y, one)
        return self.multiply_add(builder.fmul(y, e), self._polynomial(self.precision.series, e), y)

    def _polynomial(self, terms: tuple[float, ...], e: Any) -> Any:
        found = self.constant(terms[-1])
        for term in reversed(terms[:-1]):
            found = self.multiply_add(found, e, self.constant(term))
        return found

    def bits(self, a: Any) -> Any:
        """Return the bits as integers."""
        return self.builder.bitcast(a, self.whole)

    def fold(self, vectors: list[Any], combine: Callable[[Any, Any], Any]) -> list[Any]:
        """Combine the lanes of each of some vectors; return the results in order, side by side.

        By halves, those of two vectors at once: a quarter of the instructions that it takes lane by
        lane. ``vectors``: as many as a power of two.
        """
        width = self.lanes
        while width > 1:
            pairs = [vectors[k : k + 2] for k in range(0, len(vectors), 2)]
            vectors = [combine(*self._halves(pair, width)) for pair in pairs]
            width //= 2
        return vectors

    def _halves(self, vectors: list[Any], width: int) -> list[Any]:
        """Return the first and the second half of every ``width`` lanes of one or two vectors."""
        lanes = range(sum(vector.type.count for vector in vectors))
        kept = [[k for k in lanes if k % width * 2 // width == half] for half in range(2)]
        return [
            self.builder.shuffle_vector(
                vectors[0], vectors[-1], ir.Constant(ir.VectorType(INT32, len(half)), half)
            )
            for half in kept
        ]


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Return the columns of rows of as many numbers as there are rows, a power of two.

    A vector may hold several rows, one after the other: these belong to further columns' lanes.
    """
    lanes, rows, step = rows[0].type.count, list(rows), 1
    while step < len(rows):
        # Of two rows each lane with that bit and each without it.
        low = [lanes + j - step if j & step else j for j in range(lanes)]
        high = [lanes + j if j & step else j + step for j in range(lanes)]
        masks = [ir.Constant(ir.VectorType(INT32, lanes), mask) for mask in (low, high)]
        for i in range(len(rows)):
            if not i & step:
                pair = rows[i], rows[i + step]
                rows[i], rows[i + step] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        step *= 2
    return rows


def align_stack(builder: Any) -> None:
    """Let what does not fit into registers lie where lines of the cache begin: a vector of 64 bytes
    that lies across two takes twice as long.
    """
    attributes = builder.function.attributes
    attributes.alignstack = _LINE
    # Without a named one llvmlite forgets the number.
    attributes.add("noredzone")


class Table:
    """A C-contiguous array (rows, columns) that vectors are read from and written to."""

    def __init__(self, emit: Emitter, start: Any, columns: Any, vector: Any = None) -> None:
        self._emit = emit
        self._start = start
        self._columns = columns
        self._vector = vector

    def place(self, row: int, column: Any) -> Any:
        """Return the address of an element."""
        builder = self._emit.builder
        along = builder.add(builder.mul(ir.Constant(INT64, row), self._columns), column)
        return builder.gep(self._start, [along])

    def read(self, row: int, column: Any) -> Any:
        """Return a vector from a column on."""
        builder = self._emit.builder
        found = builder.load(builder.bitcast(self.place(row, column), self._vector.as_pointer()))
        found.align = 4
        return found

    def write(self, row: int, column: Any, vector: Any) -> None:
        """Write a vector from a column on."""
        builder = self._emit.builder
        place = builder.bitcast(self.place(row, column), vector.type.as_pointer())
        builder.store(vector, place).align = 4
