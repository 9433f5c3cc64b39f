"""A limit of time on work that cannot be asked to stop, such as rendering a model's chat template: it is interrupted.

A template is a program of the model's, and some take the square of what a request holds. Python's interpreter raises an
exception in another thread where it is told to (`PyThreadState_SetAsyncExc`), between two steps of Python code: a loop
ends at once, and a call into C when it returns.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator
from contextlib import contextmanager


class _Interrupted(BaseException):
    """Raised in the thread whose time is over; no `except Exception` of a template's may catch it."""


class _Alarm:
    """Interrupts one thread unless it was `disarmed` before."""

    def __init__(self, thread: int) -> None:
        self._thread = ctypes.c_ulong(thread)
        self._lock = threading.Lock()
        self._disarmed = False
        self._fired = False

    def fire(self) -> None:
        with self._lock:
            if not self._disarmed:
                self._fired = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread, ctypes.py_object(_Interrupted))

    def disarm(self) -> None:
        """Nothing is raised once this has returned; while it runs, the interrupt may still come."""
        with self._lock:
            self._disarmed = True
            if self._fired:  # and not raised yet
                ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread, None)


@contextmanager
def time_limit(seconds: float) -> Generator[None]:
    """Interrupt what is done within where it takes longer. Raises `TimeoutError` then. Starts a thread."""
    alarm = _Alarm(threading.get_ident())
    timer = threading.Timer(seconds, alarm.fire)
    timer.daemon = True
    try:
        timer.start()
        try:
            yield
        finally:
            alarm.disarm()
            timer.cancel()
    except _Interrupted:
        raise TimeoutError(f"it took longer than {seconds:g} s") from None
