"""Tests of what a device is told and asked: registers, commands, counters."""

import numpy as np

from ....hw.isa.codes import Status, Target
from ....hw.isa.commands import Load, Run, Sync
from ....hw.isa.host_stream import packet_of, tagged
from ....hw.isa.registers import ADDRESS, FIRST, constants, kept
from ..answers import answer_of
from ..device import COUNTERS, Device
from .checks import Failure, product, same


def registers(device: Device) -> str:
    want = constants(device.config)
    for name, value in want.items():
        same(f"register {name}", device.read(name), value)
    for address in ADDRESS.values():
        device.transport.read_register(address)
    for address in (4 * len(FIRST), max(ADDRESS.values()) + 4):
        same(f"address {address:#x}, no register", device.transport.read_register(address), 0)
    return f"{len(want)} constants, {len(ADDRESS)} addresses"


def queue(device: Device) -> str:
    """More commands, and more RUNs, than can wait: answered in order, each with its tag."""
    config = device.config
    tags = [3 * i % 256 for i in range(100)]
    syncs = [packet_of(config, Sync(), tag=tag) for tag in tags]
    answers = [answer_of(config, packet) for packet in device.transport.exchange(syncs)]
    same("the answers' tags", [answer.tag for answer in answers], tags)
    runs = 20
    shape = (1, config.group, runs * config.tile_columns)
    product(device, np.random.default_rng(11), shape, 1)
    return f"{len(tags)} commands, {runs} RUNs"


def errors(device: Device) -> str:
    """Commands that must be refused, each with its reason, and a good one after them."""
    config = device.config
    good = packet_of(config, Sync())
    damaged = bytes([good[0] ^ 1]) + good[1:]
    payload = bytes(config.stream_bytes)
    # No driver's function makes an unknown opcode: the first byte is changed, the check with it.
    strange = tagged(bytes([0xFF]) + good[1:], 0)
    outside = 2 * config.schedule_records - 1
    run = dict.fromkeys(Run.layout(), 0) | {"settings_page": config.settings_pages}
    cases = {
        Status.BAD_CHECK: damaged,
        Status.BAD_OPCODE: strange,
        Status.BAD_TARGET: packet_of(config, Load(9, 0, 1), payload),
        Status.BAD_ADDRESS: packet_of(config, Load(Target.SCHEDULE, outside, 2), payload),
        Status.BAD_LENGTH: packet_of(config, Load(Target.SCHEDULE, 0, 1)),
        Status.BAD_FIELD: packet_of(config, Run(**run)),
        Status.BAD_SCHEDULE: packet_of(
            config, Load(Target.SCHEDULE, 0, 1), bytes([config.group + 1])
        ),
        Status.OK: good,
    }
    answers = device.transport.exchange(list(cases.values()))
    for status, packet in zip(cases, answers, strict=True):
        same(f"answer to {status.name}", answer_of(config, packet).status, status)
    same("errors counted", device.read("errors"), len(cases) - 1)
    return ", ".join(status.name for status in cases)


def counters(device: Device) -> str:
    config = device.config
    device.clear()
    for name in COUNTERS:
        if name not in ("total", "stall_host"):
            same(f"counter {name} after it was cleared", device.read(name), 0)
    rng = np.random.default_rng(10)
    product(device, rng, (config.rows, 2 * config.group, config.tile_columns), 2)
    present = kept(config)
    for name in ("commands", "cycles", "macs", "slots", "tiles"):
        if name in present and not device.read(name):
            raise Failure(f"counter {name} stays at zero")
        if name not in present:
            same(f"counter {name}, which is not there,", device.read(name), 0)
    return f"{len(present)} counters"
