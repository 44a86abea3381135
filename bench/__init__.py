"""The benchmark: the same standard-library code on plain Python, on triga and on its peers. See docs/benchmarks.md."""
