"""Closes SQLite connections and locks in forked children, where they must not be used.

A fork waits until no guarded object is in use; the child then drops what it inherited.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod


class Guarded(ABC):
    """An object that a forked child must drop. `gate` is held while the object is in use."""

    def __init__(self) -> None:
        self.gate = threading.Lock()
        with _lock:
            _guarded.add(self)

    @abstractmethod
    def drop_inherited(self) -> None:
        """Closes what the child inherited, without an effect on the parent. Called right after the fork."""


_lock = threading.Lock()
_guarded: weakref.WeakSet[Guarded] = weakref.WeakSet()
_held: list[Guarded] = []


def _before() -> None:
    _lock.acquire()
    for each in list(_guarded):
        each.gate.acquire()
        _held.append(each)


def _after_in_parent() -> None:
    while _held:
        _held.pop().gate.release()
    _lock.release()


def _after_in_child() -> None:
    while _held:
        each = _held.pop()
        each.drop_inherited()
        each.gate.release()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
