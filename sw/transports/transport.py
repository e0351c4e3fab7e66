"""What a driver may ask of whatever carries its packets: a serial line, a memory, a simulator."""

from collections.abc import Callable, Sequence
from typing import Protocol


class Transport(Protocol):
    """What carries registers and packets to a device and back, one call at a time."""

    beat_bytes: int
    """Bytes of a beat of the device's streams."""

    def read_register(self, address: int) -> int:
        """The 32-bit register at byte `address`."""
        ...

    def write_register(self, address: int, value: int) -> None:
        """Write the 32-bit register at byte `address`."""
        ...

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        """Send command packets while taking the responses: one each, in order.

        `on_response` is told how many have come. Raises `DeviceError` if the device stops.
        """
        ...

    def recover(self) -> None:
        """Reset the device, wherever an exception or Ctrl-C has left it and the way to it."""
        ...

    def close(self) -> None: ...
