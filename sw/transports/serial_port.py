"""A serial port of this machine as a byte port, and which there are."""

import errno
import os

import serial
from serial.tools import list_ports

from ..errors import DeviceError

BAUD = 1_000_000
"""Rate of the boards' serial lines, unless their page says otherwise."""


def seconds(count: int, baud: int) -> float:
    """How long `count` bytes are on the line: each has a start bit, eight and a stop bit."""
    return count * 10 / baud


class SerialPort:
    """`path`, for this process alone; `DeviceError` says what to do if it cannot be had."""

    def __init__(self, path: str, baud: int = BAUD):
        self.name = path
        try:
            # A pseudo-terminal has no rate and takes any.
            self._serial = serial.Serial(path, baud, timeout=0, write_timeout=10, exclusive=True)
        except (serial.SerialException, OSError, ValueError, OverflowError) as reason:
            raise _explain(path, baud, reason) from None
        self._serial.reset_input_buffer()

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except (serial.SerialException, OSError) as reason:
            raise _unplugged(self.name) from reason

    def read(self, timeout: float) -> bytes:
        try:
            self._serial.timeout = timeout
            first = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except (serial.SerialException, OSError, TypeError) as reason:
            # pyserial raises TypeError if the port is closed under it.
            raise _unplugged(self.name) from reason

    def close(self) -> None:
        self._serial.close()


def paths() -> list[str]:
    """The serial ports of this machine that belong to a device on USB."""
    return sorted(port.device for port in list_ports.comports() if port.vid is not None)


def _explain(path: str, baud: int, reason: Exception) -> DeviceError:
    number = getattr(reason, "errno", None)
    text = str(reason)
    if number == errno.EACCES or "PermissionError" in text:
        if os.name == "nt":
            return DeviceError(f"{path} is in use: close the other program (a terminal, say)")
        return DeviceError(
            f"no right to use {path}: add yourself to the group that owns it (sudo usermod -aG "
            "dialout $USER, then log in again), or install a udev rule for the board"
        )
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text:
        return DeviceError(
            f"{path} is in use: close the other program (a terminal, or another heddle); "
            f"fuser {path} names it"
        )
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or "FileNotFoundError" in text:
        there = ", ".join(paths()) or "none"
        return DeviceError(
            f"there is no port {path}; serial ports on USB: {there}. Is the board plugged in?"
        )
    # pyserial tells of what it cannot set only in words.
    if number in (errno.ENOTTY, errno.EISDIR) or os.strerror(errno.ENOTTY) in text:
        return DeviceError(f"{path} is no serial port")
    return DeviceError(f"cannot open {path} at {baud:,} baud: {reason}")


def _unplugged(path: str) -> DeviceError:
    return DeviceError(f"the connection at {path} broke: check the cable, then run again")
