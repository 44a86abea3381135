"""multiprocessing on the C++ core."""
