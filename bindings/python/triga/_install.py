"""install() and uninstall(): puts the native classes under the standard names and takes them away again."""

from __future__ import annotations

import os
import sys

from triga import _core
from triga._hook import OwnFinder, PatchingFinder, run_patch
from triga._parts import PARTS, Part
from triga._patch import Replaced
from triga._platform import refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace


class _Installation:
    """What is installed in this interpreter: the parts, their finders and every attribute replaced."""

    def __init__(self) -> None:
        self.parts: frozenset[Part] = frozenset()
        self.finders: list[OwnFinder | PatchingFinder] = []
        self.replaced = Replaced()
        self.preload: tuple[str, ...] = ()


_installation = _Installation()


def _load(target: str) -> Callable[[ModuleType, Replace], None]:
    module_name, _, function = target.partition(":")
    __import__(module_name)
    patch: Callable[[ModuleType, Replace], None] = getattr(sys.modules[module_name], function)
    return patch


def _patcher(targets: str | tuple[str, ...]) -> Callable[[ModuleType], None]:
    def executed(module: ModuleType) -> None:
        for target in (targets,) if isinstance(targets, str) else targets:
            _load(target)(module, _installation.replaced)

    return executed


def _install_part(part: Part) -> None:
    patches = {name: _patcher(target) for name, target in PARTS[part].items()}
    finders: list[OwnFinder | PatchingFinder] = [PatchingFinder(patches)]
    if not _installation.finders:
        finders.append(OwnFinder())
    sys.meta_path[:0] = finders
    _installation.finders += finders

    def patch_what_is_loaded() -> None:
        for name, patch in patches.items():
            module = sys.modules.get(name)
            if module is not None:
                patch(module)

    run_patch(patch_what_is_loaded)


def install_parts(wanted: frozenset[Part]) -> frozenset[Part]:
    """Installs those of ``wanted`` that are not installed yet, all or none, and returns the new ones.

    Raises RuntimeError, with nothing changed, where this interpreter or this machine cannot run a part.
    """
    new = wanted - _installation.parts
    for part in sorted(new):
        for reason in refusals(part):
            raise RuntimeError(f"triga cannot run {part} natively here: {reason}; nothing was installed")
    if "processes" in new:
        _core.use_huge_arenas()  # so that forks copy less
    for part in sorted(new):
        _install_part(part)
        _installation.parts |= {part}
    return new


def _names(preload: Iterable[str]) -> tuple[str, ...]:
    if isinstance(preload, str):
        raise TypeError("preload is one string; give a list of the modules' names")
    names = tuple(preload)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"preload: a module's name is a str, not {type(name).__name__}")
        if name == "__main__":
            raise ValueError(
                "preload: the main module is run by each process; use multiprocessing.set_forkserver_preload"
            )
    return names


def install(
    *, threads: bool = True, processes: bool = True, loop: bool = True, preload: Iterable[str] | None = None
) -> None:
    """Puts triga's native classes under the standard library's names, in this interpreter.

    Modules that were imported before are patched at once, others when they are imported. A name that a program has
    already bound (``from queue import Queue``) keeps what it was bound to. Threads, pools and loops that exist go on as
    they are. A part that is installed already stays as it is, so a second call does nothing.

    Args:
        threads: threading, queue and the thread pool of concurrent.futures.
        processes: multiprocessing and the process pool of concurrent.futures.
        loop: the event loop of asyncio.
        preload: modules that are imported once, in the process from which ``spawn`` and ``forkserver`` copy those that
            they start, and not in each of these. Without it that process holds only modules of the standard library.
            Given again, the new list takes the old one's place; a forkserver that runs already keeps what it has.

    Raises:
        RuntimeError: this interpreter or kernel cannot run a part; nothing was installed.
        TypeError, ValueError: ``preload`` is no list of names, or names ``__main__``.
    """
    names = None if preload is None else _names(preload)
    chosen = {"threads": threads, "processes": processes, "loop": loop}
    install_parts(frozenset(part for part, wanted in chosen.items() if wanted))
    if names is not None:
        _installation.preload = names


def uninstall() -> None:
    """Puts the standard library's own classes back. What was made natively goes on working. Safe to call twice."""
    for finder in _installation.finders:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
    _installation.finders.clear()
    _installation.replaced.undo()
    _installation.parts = frozenset()
    _installation.preload = ()


def preloaded_modules() -> list[str]:
    """The names that ``install(preload=...)`` was given."""
    return list(_installation.preload)


def installed_parts() -> frozenset[Part]:
    """The parts that are installed in this interpreter, of ``threads``, ``processes`` and ``loop``."""
    return _installation.parts


class installed:  # lower case: a function in all but its implementation, which spares contextlib at every start
    """``with triga.installed():`` is :func:`install`, and at the end of the block a return to what was there before.

    Args and errors are those of :func:`install`.
    """

    def __init__(self, *, threads: bool = True, processes: bool = True, loop: bool = True) -> None:
        self._chosen: dict[str, Any] = {"threads": threads, "processes": processes, "loop": loop}
        self._before: frozenset[Part] = frozenset()

    def __enter__(self) -> None:
        self._before = _installation.parts
        install(**self._chosen)

    def __exit__(self, *error: object) -> None:
        uninstall()
        install_parts(self._before)


os.register_at_fork(after_in_child=_core.reset_counters_after_fork)
os.register_at_fork(after_in_child=_core.use_small_pages)
