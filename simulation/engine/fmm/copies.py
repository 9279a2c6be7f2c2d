"""Short runs of bodies copied in whole vectors: a compiled loop would do most of them one by one.

Most leaves hold about ten bodies. A copy that runs beyond its end is overwritten by the next one,
and a sum that does adds zeros.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simulation.engine.forces.vectors import INT32, INT64, SINGLE, Emitter, Table

# Bodies of one vector: so far behind its end a copy may read and write.
BODIES = 8

_sums = ir.VectorType(INT64, BODIES)


class _Call:
    """The arguments of a call: tables, and plain numbers in every lane."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self.emit = Emitter(builder, SINGLE, BODIES)
        self._context, self._kinds, self._arguments = context, signature.args, arguments

    def table(self, argument: int, vector: Any) -> Table:
        array = self._context.make_array(self._kinds[argument])(
            self._context, self.builder, value=self._arguments[argument]
        )
        columns = cgutils.unpack_tuple(self.builder, array.shape)[1]
        return Table(self.emit, array.data, columns, vector)

    def spread(self, number: Any, kind: Any) -> Any:
        nothing = ir.Constant(ir.VectorType(kind, BODIES), ir.Undefined)
        one = self.builder.insert_element(nothing, number, ir.Constant(INT32, 0))
        everywhere = ir.Constant(ir.VectorType(INT32, BODIES), [0] * BODIES)
        return self.builder.shuffle_vector(one, nothing, everywhere)

    def parts(self, count: Any) -> Any:
        none, step = ir.Constant(INT64, 0), ir.Constant(INT64, BODIES)
        return cgutils.for_range_slice(self.builder, none, count, step, intp=INT64)


def _append_run(
    typing_context: Any,
    packed: Any,
    start: Any,
    near: Any,
    at: Any,
    count: Any,
    dx: Any,
    dy: Any,
    dz: Any,
) -> Any:
    """Copy ``count`` columns of ``packed`` (4, P) float32 from ``start`` on to ``near`` (4, room)
    float32 from ``at`` on, moved by dx, dy, dz float32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        call = _Call(context, builder, signature, arguments)
        origin, target = call.table(0, call.emit.reals), call.table(2, call.emit.reals)
        moved = [call.emit.spread(arguments[5 + axis]) for axis in range(3)]
        with call.parts(arguments[4]) as (k, _):
            begin, to = builder.add(arguments[1], k), builder.add(arguments[3], k)
            for axis in range(4):
                taken = origin.read(axis, begin)
                taken = builder.fadd(taken, moved[axis]) if axis < 3 else taken
                target.write(axis, to, taken)
        return context.get_dummy_value()

    whole, real = types.int64, types.float32
    return types.void(packed, whole, near, whole, whole, real, real, real), generate


def _add_run(
    typing_context: Any,
    sums: Any,
    at: Any,
    count: Any,
    partial: Any,
    place: Any,
    rounders: Any,
    rounders_of_potential: Any,
    shift: Any,
    shift_of_potential: Any,
) -> Any:
    """Add ``count`` columns of ``sums`` (4, room) int32 from ``at`` on, and the rounders int32,
    times 2^shift to ``partial`` (4, N) int64 from ``place`` on; the fourth row is the potential's.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        call = _Call(context, builder, signature, arguments)
        origin, target = call.table(0, call.emit.whole), call.table(3, _sums)
        rounder = [call.spread(arguments[5 + (axis == 3)], INT32) for axis in range(4)]
        by = [call.spread(arguments[7 + (axis == 3)], INT64) for axis in range(4)]
        lanes, none = ir.Constant(_sums, list(range(BODIES))), ir.Constant(_sums, [0] * BODIES)
        with call.parts(arguments[2]) as (k, _):
            begin, to = builder.add(arguments[1], k), builder.add(arguments[4], k)
            left = call.spread(builder.sub(arguments[2], k), INT64)
            within = builder.icmp_signed("<", lanes, left)
            for axis in range(4):
                given = builder.add(origin.read(axis, begin), rounder[axis])
                given = builder.shl(builder.sext(given, _sums), by[axis])
                given = builder.select(within, given, none)
                target.write(axis, to, builder.add(target.read(axis, to), given))
        return context.get_dummy_value()

    whole, short = types.int64, types.int32
    taken = (sums, whole, whole, partial, whole, short, short, whole, whole)
    return types.void(*taken), generate


append_run: Any = intrinsic(_append_run)
add_run: Any = intrinsic(_add_run)
