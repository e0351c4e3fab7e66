"""Exercise every unit of a device and compare with the golden model, bit for bit."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...hw.formats import ROUNDED, OutputFormat
from ...hw.isa.commands import Flag, Load, Run, Status, Sync, Target
from ...hw.isa.host_stream import elements_payload, packet_of, tagged
from ...hw.isa.registers import REGISTERS, constants, kept
from ...sim.golden import numbers
from ...sim.golden.device import ModelTransport
from ..compiler import nm, packing
from ..compiler.elements import Raw
from ..compiler.scaling import fitted
from ..errors import DeviceError, PrecisionWarning
from ..transports import serial_link
from ..transports.serial_link import LinkTransport
from . import driver
from .answers import answer_of
from .device import COUNTERS, Device


@dataclass(frozen=True)
class Result:
    """What the test of one unit found."""

    unit: str
    passed: bool
    note: str


class Failure(Exception):
    """A unit did something else than the golden model."""


def run(device: Device, on_result: Callable[[Result], None] | None = None) -> list[Result]:
    """Test unit after unit; a failure does not keep the others from being tested.

    The device is reset before each. A `DeviceError` in the middle fails the unit it came in; it is
    raised if the device cannot be reset any more, for then it is gone.
    """
    results = []
    for unit, test in units(device).items():
        device.reset()
        device.clear()
        try:
            note, passed = test(device), True
        except (Failure, DeviceError) as reason:
            note, passed = str(reason), False
        results.append(Result(unit, passed, note))
        if on_result:
            on_result(results[-1])
    return results


def _registers(device: Device) -> str:
    want = constants(device.config)
    for name, value in want.items():
        _same(f"register {name}", device.read(name), value)
    for register in REGISTERS:
        device.transport.read_register(4 * REGISTERS.index(register))
    _same("an address without a register", device.transport.read_register(4 * len(REGISTERS)), 0)
    return f"{len(want)} constants, {len(REGISTERS)} addresses"


def _pages(target: Target) -> Callable[[Device], str]:
    """Both pages of a buffer, first to last word, by products whose panels fill them."""

    def test(device: Device) -> str:
        config = device.config
        rng = np.random.default_rng(target)
        if target is Target.ACTIVATIONS:
            shape = (3 * config.rows, config.group * config.activation_groups, 1)
        elif target is Target.SCHEDULE:
            shape = (2, config.group * 2 * config.schedule_records, 1)
        else:
            shape = (2, config.weight_slots // config.interleave * 2, config.tile_columns)
        # Activations need few weights; the others every one.
        dense = target in (Target.INDICES, Target.VALUES)
        return _product(device, rng, shape, config.group if dense else 1)

    return test


def _decoder(device: Device) -> str:
    """One weight a group, at each index in turn, in each column."""
    config = device.config
    rng = np.random.default_rng(5)
    inner = config.group * config.group
    w = np.zeros((inner, config.tile_columns))
    for column in range(config.tile_columns):
        for group in range(config.group):
            w[group * config.group + (group + column) % config.group, column] = 1 + group % 3
    x = rng.integers(-9, 10, (config.rows, inner)).astype(float)
    _compare(device, x, _packed(device, w, 1))
    return f"indices 0 to {config.group - 1} in {config.columns} columns"


def _counts(device: Device) -> str:
    config = device.config
    for n in range(1, config.group + 1):
        shape = (config.rows, 2 * config.group, config.tile_columns)
        _product(device, np.random.default_rng(n), shape, n)
    return f"N from 1 to {config.group}"


def _skips(device: Device) -> str:
    """Groups without weights: first, last, between, and more in a row than a record can skip."""
    config = device.config
    groups = min(40, 2 * config.activation_groups)
    rng = np.random.default_rng(6)
    w = np.zeros((groups * config.group, config.tile_columns))
    for group in (1, 3, 4, groups - 2):
        w[group * config.group + group % config.group] = 1 + np.arange(config.tile_columns) % 9
    x = rng.integers(-9, 10, (config.rows, len(w))).astype(float)
    _compare(device, x, _packed(device, w, None))
    return f"4 of {groups} groups have weights"


def _queue(device: Device) -> str:
    """More commands, and more RUNs, than can wait: answered in order, each with its tag."""
    config = device.config
    tags = [3 * i % 256 for i in range(100)]
    syncs = [packet_of(config, Sync(), tag=tag) for tag in tags]
    answers = [answer_of(config, packet) for packet in device.transport.exchange(syncs)]
    _same("the answers' tags", [answer.tag for answer in answers], tags)
    runs = 20
    shape = (1, config.group, runs * config.tile_columns)
    _product(device, np.random.default_rng(11), shape, 1)
    return f"{len(tags)} commands, {runs} RUNs"


def _elements(device: Device) -> str:
    """Every element at its own: random values over the whole range of the format."""
    config = device.config
    rng = np.random.default_rng(7)
    shape = (config.tile_rows, 4 * config.group)
    weights = np.rint(rng.standard_normal((shape[1], config.tile_columns)) * 9)
    dtype = numbers.raw_dtype(config.format)
    x = rng.integers(0, 1 << config.format.bits, shape).astype(dtype)
    x[~numbers.is_finite(config.format, x)] = 0
    _compare(device, Raw(x), _packed(device, nm.prune(weights, 2, config.group), 2))
    return f"{config.rows} x {config.columns} elements"


def _epilogue(device: Device) -> str:
    config = device.config
    rng = np.random.default_rng(8)
    outputs = config.tile_columns + 1
    for output in ROUNDED:
        for relu in (False, True):
            options = {
                "bias": rng.standard_normal(outputs),
                "scale": rng.random(outputs) * 4.0 ** rng.integers(-3, 3, outputs),
                "relu": relu,
                "output": output,
            }
            _product(device, rng, (config.rows + 1, 2 * config.group, outputs), 2, **options)
    return "three formats, with and without ReLU; bias and scale of each column"


def _flags(device: Device) -> str:
    """Raise each flag that the format knows, and clear it."""
    config = device.config
    x = np.full((1, config.group), 100.0)
    weights = _packed(device, np.full((config.group, 1), 100.0), None)
    seen = set()
    for output, scale in ((OutputFormat.INT8, 1.0), (OutputFormat.FP16, 2.0**20)):
        device.clear()
        _same("flags after they were cleared", device.flags(), set())
        _compare(device, x, weights, output=output, scale=scale)
        seen |= device.flags()
    if len(seen) < 2:
        raise Failure(f"flags {sorted(f.name for f in seen)}: overflow or saturation is missing")
    codes = np.arange(1 << config.format.bits).astype(numbers.raw_dtype(config.format))
    bad = codes[~numbers.is_finite(config.format, codes)]
    if len(bad):
        for target, flag, count in (
            (Target.ACTIVATIONS, Flag.NONFINITE_ACTIVATION, config.rows * config.group),
            (Target.VALUES, Flag.NONFINITE_WEIGHT, config.columns),
        ):
            device.clear()
            payload = elements_payload(config, np.resize(bad, count))
            device.transport.exchange([packet_of(config, Load(target, 0, 1), payload)])
            _same("flags after a NaN was loaded", device.flags(), {flag})
            seen.add(flag)
    return ", ".join(sorted(flag.name.lower() for flag in seen))


def _drain(device: Device) -> str:
    """Tiles as short as can be, one after another: each waits for the drain chain."""
    config = device.config
    shape = (config.rows * 4, config.group, config.tile_columns * 3)
    return _product(device, np.random.default_rng(9), shape, 1)


def _errors(device: Device) -> str:
    """Commands that must be refused, each with its reason, and a good one after them."""
    config = device.config
    good = packet_of(config, Sync())
    damaged = bytes([good[0] ^ 1]) + good[1:]
    payload = bytes(config.stream_bytes)
    # No driver's function makes an unknown opcode: the first byte is changed, the check with it.
    strange = tagged(bytes([9]) + good[1:], 0)
    outside = 2 * config.schedule_records - 1
    run = dict.fromkeys(Run.layout(), 0) | {"settings_page": config.settings_pages}
    cases = {
        Status.BAD_CHECK: damaged,
        Status.BAD_OPCODE: strange,
        Status.BAD_TARGET: packet_of(config, Load(9, 0, 1), payload),
        Status.BAD_ADDRESS: packet_of(config, Load(Target.SCHEDULE, outside, 2), payload),
        Status.BAD_LENGTH: good + payload,
        Status.BAD_FIELD: packet_of(config, Run(**run)),
        Status.BAD_SCHEDULE: packet_of(
            config, Load(Target.SCHEDULE, 0, 1), bytes([config.group + 1])
        ),
        Status.OK: good,
    }
    answers = device.transport.exchange(list(cases.values()))
    for status, packet in zip(cases, answers, strict=True):
        _same(f"answer to {status.name}", answer_of(config, packet).status, status)
    _same("errors counted", device.read("errors"), len(cases) - 1)
    return ", ".join(status.name for status in cases)


def _counters(device: Device) -> str:
    config = device.config
    device.clear()
    for name in COUNTERS:
        if name not in ("total", "stall_host"):
            _same(f"counter {name} after it was cleared", device.read(name), 0)
    rng = np.random.default_rng(10)
    _product(device, rng, (config.rows, 2 * config.group, config.tile_columns), 2)
    present = kept(config)
    for name in ("commands", "cycles", "macs", "slots", "tiles"):
        if name in present and not device.read(name):
            raise Failure(f"counter {name} stays at zero")
        if name not in present:
            _same(f"counter {name}, which is not there,", device.read(name), 0)
    return f"{len(present)} counters"


def _product(device: Device, rng, shape, n: int, **options) -> str:
    rows, inner, outputs = shape
    x, w = rng.standard_normal((rows, inner)), rng.standard_normal((inner, outputs))
    if not device.config.format.is_float:
        x, w = (v * numbers.largest_value(device.config.format) / 3 for v in (x, w))
    w = nm.prune(w, n, device.config.group)
    _compare(device, x, _packed(device, w, n), **options)
    return f"product {rows} x {inner} x {outputs}, {n}:{device.config.group}"


def _packed(device: Device, w: np.ndarray, n: int | None) -> packing.PackedWeights:
    config = device.config
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # any bits will do
        return packing.pack(fitted(w, config.format), config.format, n, config.group, config.group)


def _compare(device: Device, x, weights, **options) -> None:
    """The product on the device and by the golden model, all bits."""
    reference = Device(ModelTransport(device.config), device.config.name)
    options = {"raw": True} | options
    x = x if isinstance(x, Raw) else fitted(x, device.config.format)
    got, _ = driver.matmul(device, x, weights, **options)
    want, _ = driver.matmul(reference, x, weights, **options)
    differ = got != want
    if differ.any():
        row, column = np.argwhere(differ)[0]
        raise Failure(
            f"{int(differ.sum())} of {got.size} outputs differ, the first in row {row}, "
            f"column {column} (array row {row % device.config.rows}, "
            f"column {column % device.config.columns})"
        )


def _same(what: str, got, want) -> None:
    if got != want:
        raise Failure(f"{what}: {got!r}, not {want!r}")


UNITS: dict[str, Callable[[Device], str]] = {
    "registers": _registers,
    "activation buffers": _pages(Target.ACTIVATIONS),
    "schedule buffer": _pages(Target.SCHEDULE),
    "index and value buffers": _pages(Target.VALUES),
    "decoders": _decoder,
    "N of each group": _counts,
    "empty groups": _skips,
    "processing elements": _elements,
    "epilogue": _epilogue,
    "flags": _flags,
    "drain": _drain,
    "command queue": _queue,
    "error responses": _errors,
    "counters": _counters,
}
"""The units and their tests, in the order they are run: later ones rely on earlier ones."""


def units(device: Device) -> dict[str, Callable[[Device], str]]:
    """The units that `device` has: the serial link first, if it is behind one."""
    if isinstance(device.transport.carrier, LinkTransport):
        return {"serial link": lambda device: serial_link.probe(device.transport.carrier)} | UNITS
    return UNITS
