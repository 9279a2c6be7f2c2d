"""Rows of eight doubles as vector instructions: eight bodies, or eight cells, at once.

A lane never sees another, but in ``fold``, so each does what one body alone would do, in the same
order, with the same roundings, on every processor. Left to the compiler the loops over the lanes
stayed scalar, because rows might overlap; and sums kept in memory waited for each store.

A table is a C-contiguous float64 array (rows, LANES). Callable in kernels only.
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

    def item(self, array: int, along: Any) -> Any:
        """Return an item of an array, counted along its memory."""
        return self.builder.load(self.builder.gep(self._start(array), [along]))

    def read(self, table: int, row: Any) -> Any:
        """Return a row."""
        return self.read_from(table, self._place(row))

    def write(self, table: int, row: Any, values: Any) -> None:
        """Write a row."""
        self.write_from(table, self._place(row), values)

    def read_from(self, array: int, along: Any) -> Any:
        """Return LANES items of an array, counted along its memory."""
        found = self.builder.load(self._vector_at(array, along))
        found.align = 8
        return found

    def write_from(self, array: int, along: Any, values: Any) -> None:
        """Write LANES items of an array."""
        self.builder.store(values, self._vector_at(array, along)).align = 8

    def spread(self, value: Any) -> Any:
        """Return a number in every lane."""
        nothing = ir.Constant(_vector, ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(nothing, value, first)
        return self.shuffle(one, nothing, [0] * LANES)

    def shuffle(self, a: Any, b: Any, mask: list[int]) -> Any:
        """Return the lanes of a and b that the mask names."""
        chosen = ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask)
        return self.builder.shuffle_vector(a, b, chosen)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c with one rounding."""
        return self._call("llvm.fma", a, b, c)

    def root(self, a: Any) -> Any:
        """Return the square root."""
        return self._call("llvm.sqrt", a)

    def whole_row(self, array: int, at: Any, length: int) -> list[Any]:
        """Return a row of an array (rows, length) of whole numbers."""
        begin = self.builder.mul(at, ir.Constant(_int64, length))
        places = [self.builder.add(begin, ir.Constant(_int64, k)) for k in range(length)]
        return [self.item(array, place) for place in places]

    def _start(self, array: int) -> Any:
        made = self._context.make_array(self._kinds[array])
        return made(self._context, self.builder, value=self._arguments[array]).data

    def _place(self, row: Any) -> Any:
        return self.builder.mul(row, ir.Constant(_int64, LANES))

    def _vector_at(self, array: int, along: Any) -> Any:
        place = self.builder.gep(self._start(array), [along])
        return self.builder.bitcast(place, _vector.as_pointer())

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


def _write_product(
    typing_context: Any, table: Any, row: Any, a: Any, row_of_a: Any, b: Any, row_of_b: Any, c: Any
) -> Any:
    """Write a[row_of_a] * b[row_of_b] * c to table[row]: two roundings, from the left."""

    def emit(rows: _Rows) -> None:
        product = rows.builder.fmul(rows.read(2, rows.number(3)), rows.read(4, rows.number(5)))
        last = rows.builder.fmul(product, rows.spread(rows.number(6)))
        rows.write(0, rows.number(1), last)

    taken = (table, types.int64, a, types.int64, b, types.int64, types.float64)
    return types.void(*taken), _generate(emit)


def _write_products(
    typing_context: Any, table: Any, row: Any, a: Any, b: Any, triples: Any, begin: Any, end: Any
) -> Any:
    """Write the sum of a[triples[r, 1]] * b[triples[r, 2]] over begin <= r < end to table[row]."""

    def emit(rows: _Rows) -> None:
        def term(at: Any, before: Any) -> Any:
            _, of_a, of_b = rows.whole_row(4, at, 3)
            return rows.fused(rows.read(2, of_a), rows.read(3, of_b), before)

        rows.write(0, rows.number(1), _sum(rows.builder, rows.number(5), rows.number(6), term))

    return types.void(table, types.int64, a, b, triples, types.int64, types.int64), _generate(emit)


def _write_spread_products(
    typing_context: Any,
    table: Any,
    row: Any,
    numbers: Any,
    start: Any,
    b: Any,
    triples: Any,
    begin: Any,
    end: Any,
) -> Any:
    """Do what ``write_products`` does with the same numbers[start + triples[r, 1]] in all lanes."""

    def emit(rows: _Rows) -> None:
        def term(at: Any, before: Any) -> Any:
            _, of_a, of_b = rows.whole_row(5, at, 3)
            one = rows.spread(rows.item(2, rows.builder.add(rows.number(3), of_a)))
            return rows.fused(one, rows.read(4, of_b), before)

        rows.write(0, rows.number(1), _sum(rows.builder, rows.number(6), rows.number(7), term))

    whole = types.int64
    return types.void(table, whole, numbers, whole, b, triples, whole, whole), _generate(emit)


def _sum(builder: Any, begin: Any, end: Any, term: Callable[[Any, Any], Any]) -> Any:
    """Return the sum of term(r) over begin <= r < end; even and odd r on their own, so that one
    addition does not wait for the other.
    """
    even, odd = (cgutils.alloca_once_value(builder, _zeros) for _ in range(2))
    one, two = ir.Constant(_int64, 1), ir.Constant(_int64, 2)
    many = builder.sub(end, begin)
    last = builder.sub(end, builder.and_(many, one))
    with cgutils.for_range_slice(builder, begin, last, two) as (at, _):
        builder.store(term(at, builder.load(even)), even)
        builder.store(term(builder.add(at, one), builder.load(odd)), odd)
    with builder.if_then(builder.icmp_signed("<", last, end)):
        builder.store(term(last, builder.load(even)), even)
    return builder.fadd(builder.load(even), builder.load(odd))


def _add_folded(typing_context: Any, numbers: Any, start: Any, table: Any, many: Any) -> Any:
    """Add the sums over the lanes of the rows 0 <= r < many to numbers[start + r].

    The lanes in pairs, the pairs in pairs. ``many`` is a multiple of LANES.
    """

    def emit(rows: _Rows) -> None:
        builder = rows.builder
        begin, step = ir.Constant(_int64, 0), ir.Constant(_int64, LANES)
        with cgutils.for_range_slice(builder, begin, rows.number(3), step) as (at, _):
            some = [rows.read(2, builder.add(at, ir.Constant(_int64, k))) for k in range(LANES)]
            apart = 1
            while len(some) > 1:
                some = [
                    _fold(rows, a, b, apart) for a, b in zip(some[::2], some[1::2], strict=True)
                ]
                apart *= 2
            place = builder.add(rows.number(1), at)
            rows.write_from(0, place, builder.fadd(rows.read_from(0, place), some[0]))

    return types.void(numbers, types.int64, table, types.int64), _generate(emit)


def _fold(rows: _Rows, a: Any, b: Any, apart: int) -> Any:
    """Return the sums of lanes that far apart: of a where lanes have no such bit, else of b."""
    low = [lane & ~apart | (LANES if lane & apart else 0) for lane in range(LANES)]
    return rows.builder.fadd(
        rows.shuffle(a, b, low), rows.shuffle(a, b, [lane | apart for lane in low])
    )


def _write_field(
    typing_context: Any,
    total: Any,
    field: Any,
    start: Any,
    slope: Any,
    less: Any,
    many: Any,
    powers: Any,
) -> Any:
    """Write the slopes of a field of ``many`` terms and the field itself to ``total`` (4, LANES).

    The field is field[start + t]; ``slope`` has ``less`` rows, see ``tables``.
    """

    def emit(rows: _Rows) -> None:
        builder = rows.builder
        sums = [cgutils.alloca_once_value(builder, _zeros) for _ in range(4)]

        def add(axis: int, term: Any, power: Any) -> None:
            one = rows.spread(rows.item(1, builder.add(rows.number(2), term)))
            builder.store(rows.fused(one, power, builder.load(sums[axis])), sums[axis])

        less, one = rows.number(4), ir.Constant(_int64, 1)
        with cgutils.for_range_slice(builder, ir.Constant(_int64, 0), less, one) as (at, _):
            t, *above = rows.whole_row(3, at, 4)
            power = rows.read(6, t)
            for axis, term in enumerate(above):
                add(axis, term, power)
            add(3, t, power)
        with cgutils.for_range_slice(builder, less, rows.number(5), one) as (t, _):
            add(3, t, rows.read(6, t))
        for axis, found in enumerate(sums):
            rows.write(0, ir.Constant(_int64, axis), builder.load(found))

    taken = (total, field, types.int64, slope, types.int64, types.int64, powers)
    return types.void(*taken), _generate(emit)


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
            rows.spread(rows.number(point + axis)), rows.read(places, ir.Constant(_int64, axis))
        )
        for axis in range(3)
    ]
    r2 = _zeros
    for component in way:
        r2 = rows.fused(component, component, r2)
    return way, r2


write_product: Any = intrinsic(_write_product)
write_products: Any = intrinsic(_write_products)
write_spread_products: Any = intrinsic(_write_spread_products)
add_folded: Any = intrinsic(_add_folded)
write_field: Any = intrinsic(_write_field)
any_within: Any = intrinsic(_any_within)
add_pull: Any = intrinsic(_add_pull)
