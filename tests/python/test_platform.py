"""Where a part cannot run natively: one clear sentence, and nothing half installed."""

from __future__ import annotations

import errno
import os
import sys

import pytest

import triga
from triga._doctor import doctor
from triga._platform import refusals


def no_pidfd(pid: int, flags: int = 0) -> int:
    """pidfd_open(2) on a kernel before 5.3."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def test_this_machine_runs_every_part() -> None:
    assert [refusals(part) for part in ("threads", "processes", "loop")] == [[], [], []]


def test_a_kernel_without_pidfd_refuses_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    with pytest.raises(RuntimeError, match=r"cannot run processes natively here: the kernel has no pidfd_open"):
        triga.install()
    assert triga.installed_parts() == frozenset()
    with triga.installed(processes=False):
        assert triga.installed_parts() == {"threads", "loop"}


def test_another_operating_system_refuses_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "sunos5")
    with pytest.raises(RuntimeError, match="triga needs Linux and this is sunos5; nothing was installed"):
        triga.install()
    assert triga.installed_parts() == frozenset()


def test_a_free_threaded_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "abiflags", "t")
    assert any("free-threaded" in reason for reason in refusals("threads"))


def test_doctor_says_why_a_part_stays_with_the_standard_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    assert doctor() == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("processes    standard library: the kernel has no pidfd_open(2)") for line in lines)
    assert "threads      native" in lines
