# mypy: disable-error-code="no-untyped-def"
"""Pair kicks in vector instructions: two sinks and a row of sources, each pair computed once.

Both kicks of a pair are opposite integers (``forces.direct``), so one square root and one division
serve both: the sinks' sums stay in registers, what the sources get is subtracted in memory. The
integers, and so every sum of them, are those of ``pair_kick``, whatever the width of the vectors.

The loop over the sources is a pipeline of two stages. The first writes 1/sqrt(r^2 + softening^2);
the second, _LAG vectors behind, turns what the first wrote into kicks. Without it both wait for
each other: a divider is busy for as long as all the rest takes (two AVX2 cores, interactions a
second: 0.58e9 for one sink and no symmetry, 0.95e9 with, 1.0e9 for two sinks, 1.15e9 as it is).

Room at the end of a row (``PADDING``) is filled with bodies without charge, far away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS, bits_of, fma, kernel

# Sources that a row is rounded up to, and where those are put that fill it up: outside every box.
PADDING = 8
AWAY = 2.0**500
_SINKS = 2
_LAG = 3

_double, _int32, _int64 = ir.DoubleType(), ir.IntType(32), ir.IntType(64)


@kernel
def pair_kick(dx, dy, dz, cc, softening2, potential_per_charge):
    """Return the raw kick of one pair: three components, the potential, and the largest bits.

    ``cc`` the product of the charges. All integers hold ``ROUNDER_BITS`` besides. cc / r^2 is at
    least each component of the kick; it and the potential are positive, so the OR of their bits
    shows the largest power of two that was reached, infinity and NaN included.
    """
    r2 = fma(dx, dx, fma(dy, dy, fma(dz, dz, softening2)))
    inverse = 1.0 / np.sqrt(r2)
    inverse2 = inverse * inverse
    u = cc * inverse
    w = u * inverse2
    ub = bits_of(fma(u, potential_per_charge, ROUNDER))
    return (
        bits_of(fma(w, dx, ROUNDER)),
        bits_of(fma(w, dy, ROUNDER)),
        bits_of(fma(w, dz, ROUNDER)),
        ub,
        ub | bits_of(fma(cc, inverse2, ROUNDER)),
    )


class _Emitter:
    """Vectors of doubles and of their bits, as wide as the processor's."""

    def __init__(self, builder: Any, lanes: int) -> None:
        self.builder = builder
        self.lanes = lanes
        self.reals = ir.VectorType(_double, lanes)
        self.whole = ir.VectorType(_int64, lanes)
        self._fma = self._declare("llvm.fma", 3)
        self._sqrt = self._declare("llvm.sqrt", 1)

    def _declare(self, name: str, operands: int) -> Any:
        shape = ir.FunctionType(self.reals, [self.reals] * operands)
        return cgutils.get_or_insert_function(
            self.builder.module, shape, f"{name}.v{self.lanes}f64"
        )

    def constant(self, value: float) -> Any:
        return ir.Constant(self.reals, [value] * self.lanes)

    def spread(self, value: Any) -> Any:
        nothing = ir.Constant(self.reals, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(_int32, 0))
        everywhere = ir.Constant(ir.VectorType(_int32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, nothing, everywhere)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._fma, [a, b, c])

    def root(self, a: Any) -> Any:
        return self.builder.call(self._sqrt, [a])

    def bits(self, a: Any) -> Any:
        return self.builder.bitcast(a, self.whole)

    def fold(self, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
        found = self.builder.extract_element(vector, ir.Constant(_int32, 0))
        for lane in range(1, self.lanes):
            one = self.builder.extract_element(vector, ir.Constant(_int32, lane))
            found = combine(found, one)
        return found


class _Table:
    """A C-contiguous array (rows, columns) that vectors are read from and written to."""

    def __init__(self, emit: _Emitter, start: Any, columns: Any, vector: Any = None) -> None:
        self._emit = emit
        self._start = start
        self._columns = columns
        self._vector = vector

    def place(self, row: int, column: Any) -> Any:
        builder = self._emit.builder
        along = builder.add(builder.mul(ir.Constant(_int64, row), self._columns), column)
        return builder.gep(self._start, [along])

    def read(self, row: int, column: Any) -> Any:
        builder = self._emit.builder
        found = builder.load(builder.bitcast(self.place(row, column), self._vector.as_pointer()))
        found.align = 8
        return found

    def write(self, row: int, column: Any, vector: Any) -> None:
        builder = self._emit.builder
        place = builder.bitcast(self.place(row, column), self._vector.as_pointer())
        builder.store(vector, place).align = 8


class _Row:
    """One pass over a row of sources: what it reads, and its two stages."""

    def __init__(self, emit: _Emitter, arguments: Any) -> None:
        near, sums, inverse, columns, self.begin, self.end, sinks, *law, given = arguments
        builder = emit.builder
        self.emit = emit
        self.near = _Table(emit, near, columns, emit.reals)
        self.sums = _Table(emit, sums, columns, emit.whole)
        self.inverse = _Table(emit, inverse, columns, emit.reals)
        self.given = _Table(emit, given, ir.Constant(_int64, 4))
        self.softening2, self.per_charge = (emit.spread(number) for number in law)
        feeling = _Table(emit, sinks, ir.Constant(_int64, 4))
        self.sinks = [
            [
                emit.spread(builder.load(feeling.place(sink, ir.Constant(_int64, axis))))
                for axis in range(4)
            ]
            for sink in range(_SINKS)
        ]
        self.rounder = emit.constant(ROUNDER)
        nothing = ir.Constant(emit.whole, [0] * emit.lanes)
        self.totals = [
            [cgutils.alloca_once_value(builder, nothing) for _ in range(4)] for _ in range(_SINKS)
        ]
        self.seen = cgutils.alloca_once_value(builder, nothing)

    def _offset(self, sink: int, column: Any) -> list[Any]:
        subtract = self.emit.builder.fsub
        return [subtract(self.near.read(axis, column), self.sinks[sink][axis]) for axis in range(3)]

    def write_inverse(self, column: Any) -> None:
        emit = self.emit
        for sink in range(_SINKS):
            r2 = self.softening2
            for axis in reversed(self._offset(sink, column)):
                r2 = emit.multiply_add(axis, axis, r2)
            found = emit.builder.fdiv(emit.constant(1.0), emit.root(r2))
            self.inverse.write(sink, emit.builder.sub(column, self.begin), found)

    def add_kicks(self, column: Any, *, both: bool) -> None:
        emit, builder = self.emit, self.emit.builder
        charge = self.near.read(3, column)
        others = [self.sums.read(axis, column) for axis in range(4)] if both else []
        for sink in range(_SINKS):
            inverse = self.inverse.read(sink, builder.sub(column, self.begin))
            cc = builder.fmul(self.sinks[sink][3], charge)
            inverse2 = builder.fmul(inverse, inverse)
            u = builder.fmul(cc, inverse)
            w = builder.fmul(u, inverse2)
            kicks = [
                emit.bits(emit.multiply_add(w, axis, self.rounder))
                for axis in self._offset(sink, column)
            ]
            kicks.append(emit.bits(emit.multiply_add(u, self.per_charge, self.rounder)))
            for total, kick in zip(self.totals[sink], kicks, strict=True):
                builder.store(builder.add(builder.load(total), kick), total)
            largest = emit.bits(emit.multiply_add(cc, inverse2, self.rounder))
            seen = builder.or_(builder.load(self.seen), builder.or_(kicks[3], largest))
            builder.store(seen, self.seen)
            if both:
                others = [builder.sub(a, k) for a, k in zip(others[:3], kicks, strict=False)] + [
                    builder.add(others[3], kicks[3])
                ]
        for axis, other in enumerate(others):
            self.sums.write(axis, column, other)

    def settle(self, vectors: Any) -> Any:
        """Write the sums over the lanes of so many vectors; return the bits seen in any."""
        emit, builder = self.emit, self.emit.builder
        rounders = builder.mul(vectors, ir.Constant(_int64, emit.lanes * ROUNDER_BITS % 2**64))
        for sink in range(_SINKS):
            for axis in range(4):
                total = emit.fold(builder.load(self.totals[sink][axis]), builder.add)
                total = builder.sub(total, rounders)
                builder.store(total, self.given.place(sink, ir.Constant(_int64, axis)))
        return emit.fold(builder.load(self.seen), builder.or_)


def _function(module: Any, both: bool, lanes: int) -> Any:
    """Return the function of a module that passes over a row; one, however often it is called.

    Copied into each place that calls it, it made the kernels three times as long to compile.
    """
    name = f"aii_rows_{'both' if both else 'one'}_{lanes}"
    if name in module.globals:
        return module.globals[name]
    real, whole = _double.as_pointer(), _int64.as_pointer()
    taken = [real, whole, real, _int64, _int64, _int64, real, _double, _double, whole]
    function = ir.Function(module, ir.FunctionType(_int64, taken), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(_pass_over(builder, both, lanes, function.args))
    return function


def _pass_over(builder: Any, both: bool, lanes: int, arguments: Any) -> Any:
    emit = _Emitter(builder, lanes)
    row = _Row(emit, arguments)
    width, lag = ir.Constant(_int64, emit.lanes), ir.Constant(_int64, _LAG * emit.lanes)
    vectors = builder.sdiv(
        builder.add(builder.sub(row.end, row.begin), ir.Constant(_int64, emit.lanes - 1)), width
    )
    end = builder.add(row.begin, builder.mul(vectors, width))
    full, rest = builder.add(row.begin, lag), builder.sub(end, lag)
    full = builder.select(builder.icmp_signed("<", full, end), full, end)
    rest = builder.select(builder.icmp_signed(">", rest, row.begin), rest, row.begin)

    def columns(start: Any, stop: Any) -> Any:
        return cgutils.for_range_slice(builder, start, stop, width, intp=_int64)

    with columns(row.begin, full) as (column, _):
        row.write_inverse(column)
    with columns(full, end) as (column, _):
        row.write_inverse(column)
        row.add_kicks(builder.sub(column, lag), both=both)
    with columns(rest, end) as (column, _):
        row.add_kicks(column, both=both)
    return row.settle(vectors)


def make_rows(*, both: bool, lanes: int | None = None) -> Any:
    """Return an intrinsic, callable in kernels; ``lanes`` as wide as the processor's by default.

    rows(near, sums, inverse, begin, end, sinks, softening2, potential_per_charge, given): write the
    kicks and potentials of the sources begin <= j < end on two sinks, summed, to ``given`` (2, 4)
    int64. With ``both`` also add to ``sums`` (4, room) int64 what the two sinks do to each source,
    less ``ROUNDER_BITS`` for each sink in the kicks, and more by as much in the potential. ``near``
    (4, room) float64: x, y, z, charge, followed by ``PADDING`` of no charge; ``inverse`` (2, room)
    float64 is scratch; ``sinks`` (2, 4) float64 as in ``near``. Returns the OR of all bits seen,
    see ``pair_kick``.
    """

    def typed(
        typing_context: Any,
        near: Any,
        sums: Any,
        inverse: Any,
        begin: Any,
        end: Any,
        sinks: Any,
        softening2: Any,
        potential_per_charge: Any,
        given: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            arrays = {
                k: context.make_array(signature.args[k])(context, builder, value=arguments[k])
                for k in (0, 1, 2, 5, 8)
            }
            columns = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
            width = lanes or (8 if "+avx512f" in context.codegen().magic_tuple()[2] else 4)
            given = [arrays[k].data if k in arrays else arguments[k] for k in range(9)]
            function = _function(builder.module, both, width)
            return builder.call(function, [*given[:3], columns, *given[3:]])

        whole, real = types.int64, types.float64
        signature = whole(near, sums, inverse, whole, whole, sinks, real, real, given)
        return signature, generate

    typed.__name__ = typed.__qualname__ = f"rows_{'both' if both else 'one'}_{lanes or ''}"
    return intrinsic(typed)


rows_both: Any = make_rows(both=True)
rows_one: Any = make_rows(both=False)
