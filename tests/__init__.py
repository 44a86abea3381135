"""Tests of triga: runtime/ (GoogleTest), python/ (pytest) and conformance/ (CPython's own suites)."""
