"""The referee: CPython's own test suites, on the standard library as it is and on triga; see docs/testing.md."""
