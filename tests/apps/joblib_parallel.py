"""joblib.Parallel on each of its backends: processes by loky, which subclasses the queues of multiprocessing; its own
subclass of multiprocessing.Pool; and threads.
"""

from __future__ import annotations

import joblib


def squares(backend: str) -> list[int]:
    """Two calls on the same workers, which loky keeps."""
    with joblib.parallel_config(backend=backend, n_jobs=2):
        once = joblib.Parallel()(joblib.delayed(pow)(number, 2) for number in range(50))
        return joblib.Parallel()(joblib.delayed(int)(number) for number in once)


def failing(number: int) -> int:
    if number == 3:
        raise LookupError(number)
    return number


if __name__ == "__main__":
    for name in ("loky", "multiprocessing", "threading"):
        assert squares(name) == [number**2 for number in range(50)], name
        try:
            joblib.Parallel(n_jobs=2, backend=name)(joblib.delayed(failing)(number) for number in range(5))
        except LookupError as error:
            assert str(error) == "3", error
        else:
            raise AssertionError(f"{name}: the task's exception did not arrive")
    print("good")
