"""Benchmarks: load, cost and latency of the whole stack, beside the cost of the bare calls that it needs."""
