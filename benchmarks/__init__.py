"""Benchmarks, one command each: python -m benchmarks.<stage>.<name>."""
