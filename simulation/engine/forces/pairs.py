# mypy: disable-error-code="no-untyped-def"
"""Pair kicks in vector instructions: a few sinks and a row of sources, each pair computed once.

Both kicks of a pair are opposite integers (``forces.direct``), so one inverse root serves both: the
sinks' sums stay in registers, what the sources get is subtracted in memory. The integers, and so
every sum of them, are those of ``pair_kick``, whatever the width of the vectors.

A row is passed over in stages, each a loop of its own that writes what the next one reads:
distances, inverse roots and pulls, then the three components. Together they need more
registers than there are, and the chain through one pair is longer than a processor looks ahead (two
AVX2 cores, clock cycles of eight pairs: 31 in stages, 41 to 47 in one loop, of which roots and
divisions would take 27 by themselves).

Room at the end of a row (``PADDING``) is filled with bodies without charge, far away.

The same in single precision (``SINGLE``), eight pairs where there were four: for callers that know
beforehand how strongly any pair of a row can pull, and put up with sums in coarser quanta.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba as nb
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simulation.engine.arithmetic import ROUNDER, bits_of, double_of, fma, kernel
from simulation.engine.forces.vectors import (
    BOOL,
    DOUBLE,
    INT32,
    INT64,
    LEAST,
    SEED,
    SERIES,
    SINGLE,
    Emitter,
    Precision,
    Table,
)

# Sources that a row is rounded up to, and where those are put that fill it up: outside every box.
PADDING = 16
AWAY, SINGLE_AWAY = 2.0**500, 2.0**50
# Sinks of one pass: many for tiles, where they lie side by side, few for leaves, of which most hold
# about eight bodies. The most sources: with their sums and the scratch 24 KB, for the innermost
# cache.
SINKS, FEW_SINKS = 4, 2
COLUMNS = 256


@kernel
def inverse_root(a):
    """Return 1/sqrt(a) of a positive normal number, within 1 unit in the last place.

    By multiplications and additions alone: the same bits on every processor, in half the time of
    its root and division (5.9 and 13.4 clock cycles of four pairs on an AVX2 core).
    """
    y = double_of(nb.int64(SEED) - (bits_of(a) >> 1))
    e = fma(-(a * y), y, 1.0)
    y = y * fma(fma(e, LEAST[2], LEAST[1]), e, LEAST[0])
    e = fma(-(a * y), y, 1.0)
    return fma(y * e, fma(fma(e, SERIES[2], SERIES[1]), e, SERIES[0]), y)


@kernel
def pair_kick(dx, dy, dz, cc, softening2, potential_per_charge):
    """Return the raw kick of one pair: three components, the potential, and the largest bits.

    ``cc`` the product of the charges. All integers hold ``ROUNDER_BITS`` besides. cc / r^2 is at
    least each component of the kick; it and the potential are positive, so the OR of their bits
    shows the largest power of two that was reached, infinity and NaN included.
    """
    r2 = fma(dx, dx, fma(dy, dy, fma(dz, dz, softening2)))
    inverse = inverse_root(r2)
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


class _Row:
    """One pass over a row of sources: what it reads, and its stages."""

    def __init__(self, emit: Emitter, sinks_of_pass: int, arguments: Any) -> None:
        near, sums, scratch, columns, self.begin, self.end, sinks, *law, self.watched, given = (
            arguments
        )
        builder = emit.builder
        self.emit = emit
        self.range = range(sinks_of_pass)
        self.near = Table(emit, near, columns, emit.reals)
        self.sums = Table(emit, sums, columns, emit.whole)
        self.scratch = Table(emit, scratch, ir.Constant(INT64, COLUMNS + PADDING), emit.reals)
        self.given = Table(emit, given, ir.Constant(INT64, 4))
        self.softening2, self.per_charge = (emit.spread(number) for number in law)
        feeling = Table(emit, sinks, ir.Constant(INT64, 4))
        self.sinks = [
            [
                emit.spread(builder.load(feeling.place(sink, ir.Constant(INT64, axis))))
                for axis in range(4)
            ]
            for sink in self.range
        ]
        self.rounder = emit.constant(emit.precision.rounder)

    def start(self, vectors: Any) -> None:
        """Set the sums to what takes the rounders of so many vectors off them."""
        builder, precision, lanes = self.emit.builder, self.emit.precision, self.emit.lanes
        whole = precision.whole
        many = builder.trunc(vectors, whole) if whole is INT32 else vectors
        rounders = ir.Constant(whole, -precision.rounder_bits * lanes % 2**whole.width)
        nothing = ir.Constant(self.emit.whole, [0] * lanes)
        less = builder.insert_element(nothing, builder.mul(many, rounders), ir.Constant(INT32, 0))
        self.totals = [
            [cgutils.alloca_once_value(builder, less) for _ in range(4)] for _ in self.range
        ]
        self.seen = cgutils.alloca_once_value(builder, nothing)

    def _kept(self, column: Any) -> Any:
        return self.emit.builder.sub(column, self.begin)

    def _add(self, place: Any, kick: Any) -> None:
        builder = self.emit.builder
        builder.store(builder.add(builder.load(place), kick), place)

    def write_distances2(self, column: Any) -> None:
        """Keep r^2 + softening^2."""
        emit = self.emit
        source = [self.near.read(axis, column) for axis in range(3)]
        for sink in self.range:
            r2 = self.softening2
            for axis in (2, 1, 0):
                d = emit.builder.fsub(source[axis], self.sinks[sink][axis])
                r2 = emit.multiply_add(d, d, r2)
            self.scratch.write(sink, self._kept(column), r2)

    def write_inverse_roots(self, column: Any) -> None:
        """Keep their inverse roots instead."""
        kept = self._kept(column)
        for sink in self.range:
            r2 = self.scratch.read(sink, kept)
            self.scratch.write(sink, kept, self.emit.inverse_root(r2))

    def leave_out_potentials(self) -> None:
        """Let the sinks' potentials be 0, rounders and all."""
        nothing = ir.Constant(self.emit.whole, [0] * self.emit.lanes)
        for totals in self.totals:
            self.emit.builder.store(nothing, totals[3])

    def write_pulls(
        self,
        column: Any,
        *,
        both: bool,
        rooted: bool = False,
        watched: bool = False,
        wanted: bool = True,
    ) -> None:
        """Keep what the ways are multiplied by instead, of inverse roots where it is ``rooted``;
        add the potentials, or zeros where these are not ``wanted``. If ``watched``, also keep the
        bits seen.
        """
        emit, builder, kept = self.emit, self.emit.builder, self._kept(column)
        charge = self.near.read(3, column)
        other = self.sums.read(3, column) if both else None
        for sink in self.range:
            inverse = self.scratch.read(sink, kept)
            if not rooted:
                inverse = emit.inverse_root(inverse)
            cc = builder.fmul(self.sinks[sink][3], charge)
            inverse2 = builder.fmul(inverse, inverse)
            u = builder.fmul(cc, inverse)
            self.scratch.write(sink, kept, builder.fmul(u, inverse2))
            potential = emit.bits(self.rounder)
            if wanted:
                potential = emit.bits(emit.multiply_add(u, self.per_charge, self.rounder))
                self._add(self.totals[sink][3], potential)
            if watched:
                largest = emit.bits(emit.multiply_add(cc, inverse2, self.rounder))
                seen = builder.or_(builder.load(self.seen), builder.or_(potential, largest))
                builder.store(seen, self.seen)
            other = builder.add(other, potential) if both else None
        if both:
            self.sums.write(3, column, other)

    def add_kicks(self, axis: int, column: Any, *, both: bool) -> None:
        """Add one component of the kicks."""
        emit, builder, kept = self.emit, self.emit.builder, self._kept(column)
        source = self.near.read(axis, column)
        other = self.sums.read(axis, column) if both else None
        for sink in self.range:
            d = builder.fsub(source, self.sinks[sink][axis])
            pull = self.scratch.read(sink, kept)
            kick = emit.bits(emit.multiply_add(pull, d, self.rounder))
            self._add(self.totals[sink][axis], kick)
            other = builder.sub(other, kick) if both else None
        if both:
            self.sums.write(axis, column, other)

    def settle(self) -> Any:
        """Write the sums over the lanes; return the bits seen in any."""
        emit, builder = self.emit, self.emit.builder
        for sink in self.range:
            totals = [builder.load(total) for total in self.totals[sink]]
            at = 0
            for part in emit.fold(totals, builder.add):
                self.given.write(sink, ir.Constant(INT64, at), part)
                at += part.type.count
        (seen,) = emit.fold([builder.load(self.seen)], builder.or_)
        return builder.extract_element(seen, ir.Constant(INT32, 0))


def _function(module: Any, precision: Precision, both: bool, sinks: int, lanes: int) -> Any:
    """Return the function of a module that passes over a row; one, however often it is called.

    Copied into each place that calls it, it made the kernels three times as long to compile.
    """
    name = f"aii_rows_{precision.name}_{'both' if both else 'one'}_{sinks}_{lanes}"
    if name in module.globals:
        return module.globals[name]
    number, real, whole = precision.real, precision.real.as_pointer(), precision.whole.as_pointer()
    taken = [real, whole, real, INT64, INT64, INT64, real, number, number, BOOL, whole]
    function = ir.Function(module, ir.FunctionType(precision.whole, taken), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    emit = Emitter(builder, precision, lanes)
    builder.ret(_pass_over(emit, both, sinks, function.args))
    return function


def _pass_over(emit: Emitter, both: bool, sinks: int, arguments: Any) -> Any:
    builder = emit.builder
    row = _Row(emit, sinks, arguments)
    width = ir.Constant(INT64, emit.lanes)
    none = ir.Constant(INT64, 0)
    sources = builder.sub(row.end, row.begin)
    sources = builder.select(builder.icmp_signed("<", sources, none), none, sources)
    vectors = builder.sdiv(builder.add(sources, ir.Constant(INT64, emit.lanes - 1)), width)
    end = builder.add(row.begin, builder.mul(vectors, width))
    row.start(vectors)

    def run(stage: Callable[[Any], None]) -> None:
        with cgutils.for_range_slice(builder, row.begin, end, width, intp=INT64) as (column, _):
            stage(column)

    run(row.write_distances2)
    per_charge = arguments[8]
    wanted = builder.fcmp_unordered("!=", per_charge, ir.Constant(per_charge.type, 0.0))
    pulls = partial(row.write_pulls, both=both)
    # With potentials, doubles are more numbers at a time than AVX2 has registers.
    apart = emit.precision is DOUBLE
    with builder.if_else(row.watched) as (yes, no):
        with yes:
            run(partial(pulls, watched=True))
        with no, builder.if_else(wanted) as (kept, left_out):
            with kept:
                if apart:
                    run(row.write_inverse_roots)
                run(partial(pulls, rooted=apart))
            with left_out:
                row.leave_out_potentials()
                run(partial(pulls, wanted=False))
    for axis in range(3):
        run(partial(row.add_kicks, axis, both=both))
    return row.settle()


def make_rows(
    *,
    both: bool,
    feeling: int = SINKS,
    lanes: int | None = None,
    precision: Precision = DOUBLE,
) -> Any:
    """Return an intrinsic, callable in kernels, for ``feeling`` sinks, at most ``SINKS``; ``lanes``
    as wide as the processor's by default.

    rows(near, sums, scratch, begin, end, sinks, softening2, potential_per_charge, watched, given):
    write the kicks and potentials of the sources begin <= j < end, at most ``COLUMNS``, on the
    first sinks, summed, to ``given`` (SINKS, 4) int64. With ``both`` also add to ``sums`` (4, room)
    int64 what the sinks do to each source, less ``ROUNDER_BITS`` for each sink in the kicks, and
    more by as much in the potential. With potential_per_charge 0 potentials are 0, and take next to
    no time. ``near`` (4, room) float64: x, y, z, charge, followed by ``PADDING`` of no charge;
    ``scratch`` room for (SINKS, COLUMNS + PADDING) float64; ``sinks`` (SINKS, 4) float64 as in
    ``near``. Returns the OR of all bits seen, see ``pair_kick``, or 0 where pairs are not
    ``watched``: for callers that know beforehand that all are in range.

    In ``SINGLE`` precision all of these are float32 and int32, and the rounder's bits are
    ``SINGLE_ROUNDER_BITS``: no component of a pair's kick, nor its potential, may reach 2^22.
    """

    def typed(
        typing_context: Any,
        near: Any,
        sums: Any,
        scratch: Any,
        begin: Any,
        end: Any,
        sinks: Any,
        softening2: Any,
        potential_per_charge: Any,
        watched: Any,
        given: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            arrays = {
                k: context.make_array(signature.args[k])(context, builder, value=arguments[k])
                for k in (0, 1, 2, 5, 9)
            }
            columns = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
            wide = "+avx512f" in context.codegen().magic_tuple()[2]
            width = lanes or precision.lanes * (2 if wide else 1)
            given = [arrays[k].data if k in arrays else arguments[k] for k in range(10)]
            function = _function(builder.module, precision, both, feeling, width)
            return builder.call(function, [*given[:3], columns, *given[3:]])

        seen, real = (
            (types.int64, types.float64) if precision is DOUBLE else (types.int32, types.float32)
        )
        at = types.int64
        signature = seen(near, sums, scratch, at, at, sinks, real, real, types.boolean, given)
        return signature, generate

    typed.__name__ = typed.__qualname__ = (
        f"rows_{precision.name}_{'both' if both else 'one'}_{feeling}_{lanes or ''}"
    )
    return intrinsic(typed)


rows_both: Any = make_rows(both=True)
rows_one: Any = make_rows(both=False)
few_rows_both: Any = make_rows(both=True, feeling=FEW_SINKS)
few_rows_one: Any = make_rows(both=False, feeling=FEW_SINKS)
quick_rows_both: Any = make_rows(both=True, feeling=FEW_SINKS, precision=SINGLE)
