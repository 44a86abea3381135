"""Iterates what imap and a large map were given, in a thread, as far as the workers keep up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Feed = Callable[[], None]


class Feeder:
    """One thread that runs feeds one after the other, and ends when there are no more."""

    def __init__(self, drained: Callable[[], None]) -> None:
        self._feeds: queue.SimpleQueue[Feed] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._drained = drained

    def add(self, feed: Feed) -> None:
        """Runs ``feed()`` in the thread, after those before it."""
        with self._lock:
            self._feeds.put(feed)
            if self._thread is None:
                self._thread = threading.Thread(target=self._handle_tasks, daemon=True)
                self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a feed runs or waits."""
        return self._thread is not None

    def join(self) -> None:
        """Waits until no feed runs or waits."""
        while (thread := self._thread) is not None and thread is not threading.current_thread():
            thread.join()

    def _handle_tasks(self) -> None:
        while True:
            try:
                feed = self._feeds.get_nowait()
            except queue.Empty:
                with self._lock:
                    if not self._feeds.empty():
                        continue
                    self._thread = None
                self._drained()
                return
            feed()
            del feed
