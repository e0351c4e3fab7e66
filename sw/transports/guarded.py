"""A transport that threads share, that may be interrupted anywhere, and that can be closed."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import DeviceError


class GuardedTransport:
    """`carrier` (a `transport.Transport`) with one call at a time, and none once it is closed.

    Threads wait for each other. A call that does not come to its end, whatever ends it (Ctrl-C, an
    error, an exception of `on_response`), leaves the device somewhere: the next call brings it
    back to where a reset leaves it. Raises `DeviceError` when used after `close`, from
    `on_response`, or in a process that was forked from the one that opened it.
    """

    def __init__(self, carrier: Any):
        self.carrier = carrier
        """The transport itself. Its own methods are not guarded."""
        self._turn = threading.RLock()
        self._busy = threading.Lock()
        """Held by a call under way. Whoever has the turn and finds it held is inside that call."""
        self._process = os.getpid()
        self._lost = False
        """Whether a call has not come to its end."""
        self._closed = False
        self._released = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Several calls without another thread's in between."""
        self._check_process()
        with self._turn:
            yield

    def read_register(self, address: int) -> int:
        return self._call(self.carrier.read_register, address)

    def write_register(self, address: int, value: int) -> None:
        self._call(self.carrier.write_register, address, value)

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        """Send command packets and return their responses; see `transport.Transport`.

        `close`, from wherever it is called, ends it at its next response.
        """

        def told(count: int) -> None:
            self._check_open()
            if on_response:
                on_response(count)
                self._check_open()

        return self._call(self.carrier.exchange, packets, told)

    def close(self) -> None:
        """End the call under way, or wait for its end, and close. Closing again does nothing."""
        if os.getpid() != self._process:
            return  # the process that opened it closes it
        self._closed = True
        with self._turn:
            if not self._busy.locked():
                self._release()
            # Otherwise a call of this thread is under way, and closes the device when it ends.

    def _call(self, call: Callable, *arguments: Any) -> Any:
        self._check_process()
        with self._turn:
            self._check_open()
            if self._busy.locked():
                raise DeviceError(
                    "the device is in the middle of a product: what follows its progress cannot "
                    "use it"
                )
            try:
                with self._busy:
                    if self._lost:
                        self.carrier.recover()
                    self._lost = True
                    result = call(*arguments)
                    self._lost = False
                    return result
            finally:
                if self._closed:
                    self._release()

    def _release(self) -> None:
        if not self._released:
            self._released = True
            self.carrier.close()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("the device is closed: open it again")

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise DeviceError(
                "the device was opened by another process, of which this one is a copy: open one "
                "in each process"
            )
