"""Scenarios, runs and results; ``simulation.engine`` is pure NumPy and Numba."""
