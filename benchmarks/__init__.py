"""Benchmarks: ratios of things timed in the same run."""
