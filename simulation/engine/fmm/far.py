"""Multipole to local in vector instructions: sixteen sources of one sink cell at a time.

u(x) = sum over bodies of source / sqrt(r^2 + softening^2), from a far cell B in a sink cell A:

    M_m = sum of source d^m / m!                        d from the centre of charge of B
    L_n = sum over |m| <= P - |n| of (-1)^|m| M_m T_(n+m),    u = sum of L_n d^n / n!

T_k is the k-th derivative of 1/sqrt(r^2 + softening^2) between the centres (McMurchie & Davidson
1978: T^(m)_(k+e) = x T^(m+1)_k + k_e T^(m+1)_(k-e)). All lengths are taken in units of
sqrt(r^2 + softening^2), so that the recursion starts from the constants (-1)^m (2m-1)!!. M_m comes
in units of its cell's size to the m, L_n goes in those of the sink's, and sizes are below
distances: no single-precision number can overflow, whatever the lengths.

The code is written as LLVM vectors, not left to a compiler's choice: the same additions in the
same order on every processor. Where a vector holds eight numbers, its halves take turns; a lane
never sees another. Lanes that have no source hold zeros. Dipoles about the centre of charge vanish
and are left out.

Source: Dehnen (2002), J. Comput. Phys. 179, 27, eqs. 3 to 8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simulation.engine.forces.vectors import align_stack, transposed

LANES = 16
# Numbers of one source that are read at once, and the lanes of a narrow vector.
_BLOCK = 8
_TURNS = 10
Index = tuple[int, int, int]

_float, _double = ir.FloatType(), ir.DoubleType()
_int32, _int64 = ir.IntType(32), ir.IntType(64)
_block = ir.VectorType(_float, _BLOCK)


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
    """Return the length of a row of multipoles, a multiple of what is read at once."""
    return -(-len(stored(order)) // _BLOCK) * _BLOCK


class _Emitter:
    """Vector arithmetic that folds constants: an operand is an LLVM value or a Python float."""

    def __init__(self, builder: Any, lanes: int) -> None:
        self.builder = builder
        self.lanes = lanes
        self.vector = ir.VectorType(_float, lanes)
        self.fused = self._declare("llvm.fma", 3)
        self.root = self._declare("llvm.sqrt", 1)

    def _declare(self, name: str, operands: int) -> Any:
        shape = ir.FunctionType(self.vector, [self.vector] * operands)
        return cgutils.get_or_insert_function(
            self.builder.module, shape, f"{name}.v{self.lanes}f32"
        )

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.lanes)

    def value(self, a: Any) -> Any:
        return self.constant(a) if isinstance(a, float) else a

    def room(self, many: int) -> Any:
        """Return where so many vectors are kept."""
        found = cgutils.alloca_once(self.builder, self.vector, size=many)
        found.align = 4 * LANES
        return found

    def place(self, room: Any, at: int) -> Any:
        return self.builder.gep(room, [ir.Constant(_int64, at)])

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

    def columns(self, blocks: list[Any]) -> list[Any]:
        """Return the columns of ``lanes`` rows of _BLOCK values."""
        rows = blocks[:_BLOCK]
        if self.lanes > _BLOCK:
            both = list(range(2 * _BLOCK))
            pairs = zip(rows, blocks[_BLOCK:], strict=True)
            rows = [self.shuffle(low, high, both) for low, high in pairs]
        return transposed(self.builder, rows)


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
    found.align = 4 if kind.element == _float else 8
    return found


def _width(context: Any) -> int:
    """Return the lanes of a vector of the processor that code is made for."""
    return LANES if "+avx512f" in context.codegen().magic_tuple()[2] else _BLOCK


def _generate(order: int, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    def start(at: int) -> Any:
        kind = signature.args[at]
        return context.make_array(kind)(context, builder, value=arguments[at]).data

    sources, rows, centres, sums = start(0), start(2), start(3), start(6)
    _, begin, _, _, sink, softening2, _ = arguments
    align_stack(builder)
    emit = _Emitter(builder, _width(context))
    cells = []
    for lane in range(emit.lanes):
        at = builder.add(begin, ir.Constant(_int64, lane))
        cells.append(builder.sext(builder.load(builder.gep(sources, [at])), _int64))
    *offset, size, own_size = _offsets(emit, centres, cells, sink)
    soft = ir.Constant(emit.vector, ir.Undefined)
    soft = builder.insert_element(soft, builder.fptrunc(softening2, _float), ir.Constant(_int32, 0))
    r2 = emit.shuffle(soft, soft, [0] * emit.lanes)
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
    _accumulate(emit, order, multipole, tensor, given, builder.gep(sums, [begin]))
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
        rows.append(emit.shuffle(near, none, list(range(_BLOCK))))
    narrow = builder.fptrunc(own, ir.VectorType(_float, 4))
    own_size = emit.shuffle(narrow, none, [3] * emit.lanes)
    return [*emit.columns(rows)[:4], own_size]


def _multipoles(
    emit: _Emitter, order: int, rows: Any, cells: list[Any], powers: list[Any]
) -> Callable[[Index], Any]:
    """Emit (-1)^|m| M_m in units of the distance, kept in memory; return what reads one of them.

    ``powers`` of size over distance. In a loop: written out, the code of a block was longer than
    the processor's cache for code, which each block then read again.
    """
    builder, length = emit.builder, row_length(order)
    kept = {index: at for at, index in enumerate(stored(order))}
    found, scales = emit.room(length), emit.room(order + 1)
    for degree, power in enumerate(powers):
        scale = emit.value(power)
        builder.store(builder.fneg(scale) if degree % 2 else scale, emit.place(scales, degree))
    degrees = [sum(index) for index in kept] + [0] * (length - len(kept))
    table = cgutils.global_constant(
        builder.module,
        f"aii_degrees_{order}",
        ir.Constant(ir.ArrayType(_int64, length), degrees),
    )
    starts = [builder.mul(cell, ir.Constant(_int64, length)) for cell in cells]
    step = ir.Constant(_int64, _BLOCK)
    with cgutils.for_range_slice(
        builder, ir.Constant(_int64, 0), ir.Constant(_int64, length), step
    ) as (begin, _):
        taken = [_load(builder, rows, builder.add(start, begin), _block) for start in starts]
        for k, column in enumerate(emit.columns(taken)):
            at = builder.add(begin, ir.Constant(_int64, k))
            degree = builder.load(builder.gep(table, [ir.Constant(_int64, 0), at]))
            scale = builder.load(builder.gep(scales, [degree]))
            builder.store(builder.fmul(column, scale), builder.gep(found, [at]))
    return lambda index: builder.load(emit.place(found, kept[index]))


def _accumulate(
    emit: _Emitter,
    order: int,
    multipole: Callable[[Index], Any],
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
            acting = [at for at in group if sum(terms[at]) + sum(m) <= order]
            if not acting:
                break
            source = multipole(m)
            for at in acting:
                n = terms[at]
                together = (n[0] + m[0], n[1] + m[1], n[2] + m[2])
                totals[at] = emit.multiply_add(source, tensor[together], totals[at])
        for at in group:
            place = builder.bitcast(
                builder.gep(sums, [ir.Constant(_int64, at * LANES)]), emit.vector.as_pointer()
            )
            before = builder.load(place)
            before.align = 4
            after = emit.multiply_add(totals[at], powers[sum(terms[at])], before)
            builder.store(after, place).align = 4


@cache
def far_block(order: int) -> Any:
    """Return the intrinsic of an order, callable in kernels.

    far_block(sources, begin, rows, centres, sink, softening2, sums): add the fields of the cells
    ``sources``[begin : begin + ``far_width()``] (int32) to these lanes of ``sums`` (terms * LANES,
    float32) about ``sink``, in units of its size. ``rows`` (cells * row_length) float32, in units
    of each cell's size; ``centres`` (cells * 4) float64: x, y, z, size; both flat.
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


def _far_width(typing_context: Any) -> Any:
    """Return how many lanes a ``far_block`` works on at once: all of them, or half."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(_int64, _width(context))

    return types.int64(), generate


far_width: Any = intrinsic(_far_width)
