"""Exercise every unit of a device and compare with the golden model, bit for bit."""

from collections.abc import Callable
from dataclasses import dataclass

from ....hw.isa.codes import Target
from ...errors import DeviceError, FormatError
from ...transports import serial_link
from ...transports.serial_link import LinkTransport
from ..device import Device
from . import array, control, tensors
from .checks import Failure

Test = Callable[[Device], str]
"""Tests a unit and says what it did. Raises `Failure`."""


@dataclass(frozen=True)
class Result:
    """What the test of one unit found."""

    unit: str
    passed: bool
    note: str


def run(device: Device, on_result: Callable[[Result], None] | None = None) -> list[Result]:
    """Test unit after unit; a failure does not keep the others from being tested.

    The device is reset before each. A `DeviceError` in the middle fails the unit it came in; it is
    raised if the device cannot be reset any more, for then it is gone. A unit's note says so if the
    device is too small for its test.
    """
    results = []
    for unit, test in units(device).items():
        device.reset()
        device.clear()
        try:
            note, passed = test(device), True
        except (Failure, DeviceError) as reason:
            note, passed = str(reason), False
        except FormatError as reason:  # of a test that the device has no room for
            note, passed = f"not tested: {reason}", True
        results.append(Result(unit, passed, note))
        if on_result:
            on_result(results[-1])
    return results


UNITS: dict[str, Test] = {
    "registers": control.registers,
    "activation buffers": array.pages(Target.ACTIVATIONS),
    "schedule buffer": array.pages(Target.SCHEDULE),
    "index and value buffers": array.pages(Target.VALUES),
    "decoders": array.decoder,
    "N of each group": array.counts,
    "empty groups": array.skips,
    "processing elements": array.elements,
    "epilogue": array.epilogue,
    "flags": array.flags,
    "drain": array.drain,
    "command queue": control.queue,
    "error responses": control.errors,
    "counters": control.counters,
}
"""The units that every device has, and their tests, in the order they are run: later ones rely on
earlier ones."""


def units(device: Device) -> dict[str, Test]:
    """The units that `device` has: the serial link first, if it is behind one."""
    first: dict[str, Test] = {}
    if isinstance(device.transport.carrier, LinkTransport):
        first["serial link"] = lambda device: serial_link.probe(device.transport.carrier)
    return first | UNITS | tensors.units(device.config)
