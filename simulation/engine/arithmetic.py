"""Machine operations that Numba does not spell: a fused multiply-add, and the bits of a double.

They are exact by IEEE 754, so their results do not depend on the processor or on optimisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from simulation.engine.compiling import kernel

__all__ = ["ROUNDER", "ROUNDER_BITS", "bits_of", "double_of", "fma", "kernel"]

# Adding 1.5 * 2^52 leaves a double whose last bit weighs 1: the sum's bits minus the constant's
# bits are the rounded integer, for |value| < 2^51. Round-to-nearest-even is odd, so -value gives
# -integer.
ROUNDER = 1.5 * 2.0**52
ROUNDER_BITS = int(np.float64(ROUNDER).view(np.int64))


def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c with one rounding (llvm.fma)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        double = ir.DoubleType()
        shape = ir.FunctionType(double, [double, double, double])
        function = builder.module.declare_intrinsic("llvm.fma", [double], shape)
        return builder.call(function, arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


def _bits_of(typing_context: Any, value: Any) -> Any:
    """Return the 64 bits of a double as an int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


def _double_of(typing_context: Any, bits: Any) -> Any:
    """Return the double that has the 64 bits of an int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


# Callable in kernels only: fma(a, b, c), bits_of(value) and double_of(bits).
fma: Any = intrinsic(_fma)
bits_of: Any = intrinsic(_bits_of)
double_of: Any = intrinsic(_double_of)
