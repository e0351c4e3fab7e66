"""Programs on a device: what lies in its memory, then the commands, and what they cost."""

from collections.abc import Callable

import numpy as np

from ...hw.isa.codes import Flag
from ...hw.isa.commands import Sync
from ...hw.isa.descriptors import GUARDS
from ...hw.isa.host_stream import packet_of
from ..compiler.program import Program
from ..compiler.tensors import Tensor
from ..errors import DeviceError
from .answers import answer_of, in_shares
from .device import Device


def load(
    device: Device, program: Program, on_progress: Callable[[float], None] | None = None
) -> None:
    """Put what the program needs into the device's memories: once, for any number of runs.

    Raises `DeviceError` if external memory fails.
    """
    parts = [(*part, False) for part in program.image] + [
        (*part, True) for part in program.external
    ]
    with device.turn():
        if program.external:
            device.clear()
        for number, (address, content, external) in enumerate(parts):
            device.write_memory(address, content, external=external)
            if on_progress:
                on_progress((number + 1) / len(parts))
        check_external(device)


def run(
    device: Device, program: Program, on_progress: Callable[[float], None] | None = None
) -> dict[str, int]:
    """Run a program that is loaded; returns what the device counted, of its engines too.

    Raises `DeviceError` if a command is refused, or external memory fails.
    """
    # The last rows are in memory when the SYNC is answered.
    packets = [*program.packets(), packet_of(device.config, Sync())]
    with device.turn():
        device.clear()
        answers = device.transport.exchange(packets, in_shares(on_progress, len(packets)))
        header = device.config.header_beats * device.config.stream_bytes
        for packet, answer in zip(packets, answers, strict=True):
            answer_of(device.config, answer).check(packet[-header:])
        check_external(device)
        return device.counters() | device.engine_counters()


def put(device: Device, tensor: Tensor, values: np.ndarray) -> None:
    """Write `values`, of as many bytes each as the tensor's elements, to where it lies."""
    words = tensor.to_words(np.ascontiguousarray(values).view(f"<u{values.itemsize}"))
    device.write_memory(tensor.address, words)


def taken(device: Device, tensor: Tensor) -> np.ndarray:
    """The raw elements of a tensor, as they are on the device."""
    return tensor.from_words(device.read_memory(tensor.address, tensor.words))


def all_finite(device: Device) -> bool:
    """Whether no number was infinite or none since the flags were cleared, as a guard sees it."""
    return device.flags().isdisjoint(GUARDS)


def check_external(device: Device) -> None:
    """Raise `DeviceError` if external memory has failed since the flags were cleared."""
    if device.config.external_bits and Flag.EXTERNAL in device.flags():
        raise DeviceError(
            "external memory answered with an error, so what was copied is not all right: is "
            "there memory at every address up to "
            f"{(1 << device.config.external_bits) - 1:#x}, and does it work?"
        )
