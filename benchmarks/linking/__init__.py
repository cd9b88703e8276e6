"""Benchmarks of the stage linking."""
