"""Benchmarks: figures for people, each in a run of its own; `make test` holds none of them."""
