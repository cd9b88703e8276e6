"""Benchmarks of the stage kg."""
