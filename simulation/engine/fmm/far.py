"""Multipole to local in vector instructions: eight sources of one sink cell at a time.

u(x) = sum over bodies of source / sqrt(r^2 + softening^2), from a far cell B in a sink cell A:

    M_m = sum of source d^m / m!                        d from the centre of charge of B
    L_n = sum over |m| <= P - |n| of (-1)^|m| M_m T_(n+m),    u = sum of L_n d^n / n!

T_k is the k-th derivative of 1/sqrt(r^2 + softening^2) between the centres (McMurchie & Davidson
1978: T^(m)_(k+e) = x T^(m+1)_k + k_e T^(m+1)_(k-e)). All lengths are taken in units of
sqrt(r^2 + softening^2), so that the recursion starts from the constants (-1)^m (2m-1)!!. M_m comes
in units of its cell's size to the m, L_n goes in those of the sink's, and sizes are below
distances: no single-precision number can overflow, whatever the lengths.

The code is written as LLVM vectors of a fixed width, not left to a compiler's choice: the same
additions in the same order on every processor. Lanes that have no source hold zeros. Dipoles about
the centre of charge vanish and are left out.

Source: Dehnen (2002), J. Comput. Phys. 179, 27, eqs. 3 to 8.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
_TURNS = 10
Index = tuple[int, int, int]

_float, _double = ir.FloatType(), ir.DoubleType()
_int32, _int64 = ir.IntType(32), ir.IntType(64)
_vector = ir.VectorType(_float, LANES)


@cache
def indices(order: int) -> tuple[Index, ...]:
    """Return the multi-indices up to a degree, by degree."""
    return tuple(
        (a, b, degree - a - b)
        for degree in range(order + 1)
        for a in range(degree, -1, -1)
        for b in range(degree - a, -1, -1)
    )


@cache
def stored(order: int) -> tuple[Index, ...]:
    """Return the multi-indices of a cell's row of multipoles: all but the dipoles."""
    return tuple(index for index in indices(order) if sum(index) != 1)


def row_length(order: int) -> int:
    """Return the length of a row of multipoles, a multiple of the lanes."""
    return -(-len(stored(order)) // LANES) * LANES


def _declare(builder: Any, name: str, operands: int) -> Any:
    shape = ir.FunctionType(_vector, [_vector] * operands)
    return cgutils.get_or_insert_function(builder.module, shape, f"{name}.v{LANES}f32")


class _Emitter:
    """Vector arithmetic that folds constants: an operand is an LLVM value or a Python float."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.fused = _declare(builder, "llvm.fma", 3)
        self.root = _declare(builder, "llvm.sqrt", 1)

    def constant(self, value: float) -> Any:
        return ir.Constant(_vector, [value] * LANES)

    def value(self, a: Any) -> Any:
        return self.constant(a) if isinstance(a, float) else a

    def multiply(self, a: Any, b: Any) -> Any:
        if isinstance(a, float) and isinstance(b, float):
            return a * b
        for one, other in ((a, b), (b, a)):
            if isinstance(one, float) and one == 1.0:
                return other
        return self.builder.fmul(self.value(a), self.value(b))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        if isinstance(c, float) and c == 0.0:
            return self.multiply(a, b)
        if isinstance(a, float) and isinstance(b, float):
            a, b = a * b, 1.0
        if isinstance(b, float) and b == 1.0:
            return self.builder.fadd(self.value(a), self.value(c))
        return self.builder.call(self.fused, [self.value(a), self.value(b), self.value(c)])

    def shuffle(self, a: Any, b: Any, mask: list[int]) -> Any:
        return self.builder.shuffle_vector(
            a, b, ir.Constant(ir.VectorType(_int32, len(mask)), mask)
        )

    def transpose(self, rows: list[Any]) -> list[Any]:
        """Return the columns of LANES rows of LANES values."""
        step = 1
        while step < LANES:
            following = [None] * LANES
            for i in range(LANES):
                if i & step:
                    continue
                low, high = [], []
                for j in range(LANES):
                    if j & step:
                        low.append(LANES + j - step)
                        high.append(LANES + j)
                    else:
                        low.append(j)
                        high.append(j + step)
                following[i] = self.shuffle(rows[i], rows[i + step], low)
                following[i + step] = self.shuffle(rows[i], rows[i + step], high)
            rows = following
            step *= 2
        return rows


def _derivatives(emit: _Emitter, order: int, unit: tuple[Any, Any, Any]) -> dict[Index, Any]:
    """Emit T_k of all degrees up to the order, in units of the distance."""
    made: dict[tuple[int, Index], Any] = {}
    start = 1.0
    for m in range(order + 1):
        made[m, (0, 0, 0)] = start
        start *= -(2.0 * m + 1.0)

    def need(m: int, k: Index) -> Any:
        if (m, k) in made:
            return made[m, k]
        axis = max(range(3), key=lambda a: k[a])
        less = _minus(k, axis)
        found = emit.multiply(unit[axis], need(m + 1, less))
        if less[axis]:
            least = need(m + 1, _minus(less, axis))
            found = emit.multiply_add(float(less[axis]), least, found)
        made[m, k] = found
        return found

    return {k: need(0, k) for k in indices(order)}


def _minus(k: Index, axis: int) -> Index:
    a, b, c = (k[i] - (i == axis) for i in range(3))
    return a, b, c


def _load(builder: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    place = builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer())
    found = builder.load(place)
    found.align = 4 if kind is _vector else 8
    return found


def _generate(order: int, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    def start(at: int) -> Any:
        kind = signature.args[at]
        return context.make_array(kind)(context, builder, value=arguments[at]).data

    sources, rows, centres, sums = start(0), start(2), start(3), start(6)
    _, begin, _, _, sink, softening2, _ = arguments
    emit = _Emitter(builder)
    cells = []
    for lane in range(LANES):
        at = builder.add(begin, ir.Constant(_int64, lane))
        cells.append(builder.sext(builder.load(builder.gep(sources, [at])), _int64))
    *offset, size, own_size = _offsets(emit, centres, cells, sink)
    soft = ir.Constant(_vector, ir.Undefined)
    soft = builder.insert_element(soft, builder.fptrunc(softening2, _float), ir.Constant(_int32, 0))
    r2 = emit.shuffle(soft, soft, [0] * LANES)
    for axis in reversed(offset):
        r2 = emit.multiply_add(axis, axis, r2)
    inverse = builder.fdiv(emit.constant(1.0), builder.call(emit.root, [r2]))
    size, own_size = builder.fmul(size, inverse), builder.fmul(own_size, inverse)
    taken, given = [1.0], [inverse]
    for _ in range(order):
        taken.append(emit.multiply(taken[-1], size))
        given.append(emit.multiply(given[-1], own_size))
    x, y, z = (builder.fmul(axis, inverse) for axis in offset)
    tensor = _derivatives(emit, order, (x, y, z))
    multipole = _multipoles(emit, order, rows, cells, taken)
    _accumulate(emit, order, multipole, tensor, given, sums)
    return context.get_dummy_value()


def _offsets(emit: _Emitter, centres: Any, cells: list[Any], sink: Any) -> list[Any]:
    """Emit x, y, z from the sources' centres to the sink's, the sources' sizes and the sink's.

    Subtracted in double precision.
    """
    builder, four = emit.builder, ir.VectorType(_double, 4)
    own = _load(builder, centres, builder.mul(sink, ir.Constant(_int64, 4)), four)
    none = ir.Constant(ir.VectorType(_float, 4), [0.0] * 4)
    rows = []
    for cell in cells:
        other = _load(builder, centres, builder.mul(cell, ir.Constant(_int64, 4)), four)
        # The fourth of a centre is its cell's size.
        both = emit.shuffle(builder.fsub(own, other), other, [0, 1, 2, 7])
        near = builder.fptrunc(both, ir.VectorType(_float, 4))
        rows.append(emit.shuffle(near, none, list(range(LANES))))
    narrow = builder.fptrunc(own, ir.VectorType(_float, 4))
    own_size = emit.shuffle(narrow, none, [3] * LANES)
    return [*emit.transpose(rows)[:4], own_size]


def _multipoles(
    emit: _Emitter, order: int, rows: Any, cells: list[Any], powers: list[Any]
) -> dict[Index, Any]:
    """Emit (-1)^|m| M_m in units of the distance; ``powers`` of size over distance."""
    builder, kept, length = emit.builder, stored(order), row_length(order)
    found: dict[Index, Any] = {}
    for block in range(0, length, LANES):
        taken = []
        for cell in cells:
            row = builder.mul(cell, ir.Constant(_int64, length))
            at = builder.add(row, ir.Constant(_int64, block))
            taken.append(_load(builder, rows, at, _vector))
        for column, index in zip(emit.transpose(taken), kept[block : block + LANES], strict=False):
            scaled = emit.multiply(column, powers[sum(index)])
            found[index] = builder.fneg(scaled) if sum(index) % 2 else scaled
    return found


def _accumulate(
    emit: _Emitter,
    order: int,
    multipole: dict[Index, Any],
    tensor: dict[Index, Any],
    powers: list[Any],
    sums: Any,
) -> None:
    """Emit the sums over m, and add them to the sink's.

    A few sums take turns: each waits four cycles for its last addition (one by one: 0.6 of the
    speed).
    """
    builder, terms = emit.builder, indices(order)
    for first in range(0, len(terms), _TURNS):
        group = range(first, min(first + _TURNS, len(terms)))
        totals: dict[int, Any] = dict.fromkeys(group, 0.0)
        for m in stored(order):
            for at in group:
                n = terms[at]
                if sum(n) + sum(m) <= order:
                    together = (n[0] + m[0], n[1] + m[1], n[2] + m[2])
                    totals[at] = emit.multiply_add(multipole[m], tensor[together], totals[at])
        for at in group:
            place = builder.bitcast(
                builder.gep(sums, [ir.Constant(_int64, at * LANES)]), _vector.as_pointer()
            )
            before = builder.load(place)
            before.align = 4
            after = emit.multiply_add(totals[at], powers[sum(terms[at])], before)
            builder.store(after, place).align = 4


@cache
def far_block(order: int) -> Any:
    """Return the intrinsic of an order, callable in kernels.

    far_block(sources, begin, rows, centres, sink, softening2, sums): add the fields of the cells
    ``sources``[begin : begin + LANES] (int32) to ``sums`` (terms * LANES, float32) about ``sink``,
    in units of its size. ``rows`` (cells * row_length) float32, in units of each cell's size;
    ``centres`` (cells * 4) float64: x, y, z, size; both flat.
    """

    def typed(
        typing_context: Any,
        sources: Any,
        begin: Any,
        rows: Any,
        centres: Any,
        sink: Any,
        softening2: Any,
        sums: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _generate(order, context, builder, signature, arguments)

        signature = types.void(
            sources, types.int64, rows, centres, types.int64, types.float64, sums
        )
        return signature, generate

    typed.__name__ = typed.__qualname__ = f"far_block_{order}"
    return intrinsic(typed)
