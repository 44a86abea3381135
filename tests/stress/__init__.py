"""Long random runs whose counts have to add up: python -m tests.stress --help."""
