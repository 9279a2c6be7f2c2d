"""Benchmarks: ``make bench-<area>`` runs ``benchmarks.<area>``; figures and plot: ``results/``."""
