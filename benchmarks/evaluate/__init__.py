"""Benchmarks of the stage evaluate."""
