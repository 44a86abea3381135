"""add_reader(), add_writer() and what takes them off again."""

from __future__ import annotations

import gc
import os
import selectors
import socket
import warnings
import weakref
from typing import Any

import pytest

from tests.python.loops import run_turns


def test_readers_and_writers_are_replaced_and_removed(loop: Any) -> None:
    reading, writing = os.pipe()
    try:
        seen: list[str] = []
        os.write(writing, b"x")
        loop.add_reader(reading, seen.append, "first")
        loop.add_reader(reading, seen.append, "second")
        loop.add_writer(writing, seen.append, "writable")
        key = loop._selector.get_key(reading)
        assert key.fd == reading and key.events == selectors.EVENT_READ
        run_turns(loop)
        assert sorted(seen) == ["second", "writable"]
        assert loop.remove_reader(reading) is True
        assert loop.remove_reader(reading) is False
        assert loop.remove_writer(writing) is True
        with pytest.raises(KeyError):
            loop._selector.get_key(reading)
        with pytest.raises(ValueError, match="Invalid file object"):
            loop.add_reader(object(), print)
        with open(__file__) as file, pytest.raises(PermissionError):  # noqa: PTH123
            loop.add_reader(file, print)
        assert loop.remove_reader(reading) is False
    finally:
        os.close(reading)
        os.close(writing)


def test_a_reader_removed_by_another_ones_callback_is_not_called(loop: Any) -> None:
    pipes = [os.pipe() for _ in range(2)]
    seen: list[int] = []

    def readable(mine: int, other: int) -> None:
        seen.append(mine)
        loop.remove_reader(other)

    for (mine, writing), (other, _) in zip(pipes, reversed(pipes), strict=True):
        os.write(writing, b"x")
        loop.add_reader(mine, readable, mine, other)
    run_turns(loop)
    assert len(seen) == 1
    for pair in pipes:
        for descriptor in pair:
            loop.remove_reader(descriptor)
            os.close(descriptor)


def test_a_closed_socket_is_taken_off_by_the_object_that_was_added(loop: Any) -> None:
    """The Unix sockets of anyio close the socket first. asyncio's selector finds it by the object."""
    near, far = socket.socketpair()
    loop.add_reader(near, print)
    near.close()
    with pytest.raises(ValueError, match="Invalid file object"):
        loop.remove_reader(object())
    assert loop.remove_reader(near) is True
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        loop.remove_reader(near)
    far.close()


def test_an_object_that_was_added_lives_until_it_is_taken_off(loop: Any) -> None:
    near, far = socket.socketpair()
    seen: list[bytes] = []

    def readable(number: int) -> None:
        seen.append(os.read(number, 100))

    loop.add_reader(near, readable, near.fileno())
    gone, number = weakref.ref(near), near.fileno()
    del near
    gc.collect()
    far.sendall(b"still there")
    run_turns(loop)
    assert seen == [b"still there"] and gone() is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # nobody closes it
        assert loop.remove_reader(number) is True
        gc.collect()
    assert gone() is None
    far.close()
