"""Benchmarks of the stage corpus."""
