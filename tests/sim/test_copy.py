"""Copies between external and tensor memory, against bytes that NumPy moves row by row."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8
from heddle.hw.isa.codes import Flag, Status
from heddle.hw.isa.commands import Read, Sync, Write
from heddle.hw.isa.descriptors import Copy
from heddle.hw.isa.engines import Engine, after
from heddle.hw.isa.host_stream import packet_of
from heddle.sim.engines.amaranth_simulator import AmaranthTransport
from heddle.sim.golden.device import ModelTransport
from heddle.sw.errors import DeviceError, FormatError
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.transports.simulated import External, SimulatedTransport, Stalls

SMALL = {"activation_groups": 16, "weight_slots": 32, "schedule_records": 16}
MEMORIES = {"tensor_words": 256, "external_bits": 14}
ONE = Config("copies", 2, 2, INT8, **SMALL, **MEMORIES)
"""One lane, of a group of 8 bytes."""
TWO = Config("copies_lanes", 2, 2, FP16, lanes=2, **SMALL, **MEMORIES)
"""Two lanes, of groups of 16 bytes."""
SLOW = External(latency=37, bandwidth=0.7, stall=0.3)
simulated = partial(SimulatedTransport, optimise="-O0")
DEVICES = {
    "model": ModelTransport,
    "simulated": simulated,
    "stalled": partial(simulated, stalls=Stalls(0.3, 0.3, seed=5), external=SLOW),
}
SIZE = 1 << 14


LANES = pytest.param(TWO, marks=pytest.mark.slow)


@pytest.fixture(params=[ONE, LANES], ids=lambda c: c.name)
def config(request):
    return request.param


@pytest.fixture(params=DEVICES)
def device(request, config):
    with Device(DEVICES[request.param](config), config.name) as device:
        yield device


class Memories:
    """Both of a device, filled at random, and what they must hold."""

    def __init__(self, device: Device, rng: np.random.Generator):
        self.device, self.config = device, device.config
        words = self.config.tensor_words, self.config.stream_bytes
        self.tensor = rng.integers(0, 256, words, np.uint8)
        self.external = rng.integers(0, 256, SIZE, np.uint8)
        device.write_memory(0, self.tensor)
        device.write_memory(0, self.external, external=True)

    def move(self, copy: Copy, broken: range = range(0)):
        """What `Copy` says, byte after byte; but nothing that lies in one beat of a row with a byte
        that is `broken`."""
        beat, lanes = self.config.stream_bytes, 1 if copy.whole else self.config.lanes
        size = beat if copy.whole else self.config.group_bytes
        for row in range(copy.rows):
            start = copy.external + row * copy.stride
            if copy.line:
                start += row // copy.line * (copy.line_stride - copy.line * copy.stride)
            word = copy.tensor + row // lanes * copy.pitch
            units = -(-copy.row_bytes // size)
            if start + copy.row_bytes > SIZE or word + units > self.config.tensor_words:
                continue
            for byte in range(copy.row_bytes if copy.outward else units * size):
                there = word + byte // size, row % lanes * size + byte % size
                if copy.outward:
                    if start + byte not in broken:
                        self.external[start + byte] = self.tensor[there]
                    continue
                first = byte // beat * beat
                beside = range(start + first, start + min(first + beat, copy.row_bytes))
                if set(beside).isdisjoint(broken):
                    held = self.external[start + byte] if byte < copy.row_bytes else 0
                    self.tensor[there] = held

    def check(self):
        assert (self.device.read_memory(0, len(self.tensor)) == self.tensor).all()
        words = SIZE // self.config.stream_bytes
        held = self.device.read_memory(0, words, external=True)
        assert (held.reshape(-1) == self.external).all()


def exchange(device: Device, commands: list) -> None:
    packets = [packet_of(device.config, command, tag=n) for n, command in enumerate(commands)]
    for packet, answer in zip(packets, device.transport.exchange(packets), strict=True):
        answer_of(device.config, answer).check(packet)


def some_copy(config, rng: np.random.Generator, outward: int) -> Copy:
    """Rows of any size at any byte, in lines or not, across each other or apart."""
    whole = int(rng.integers(2))
    row_bytes = int(rng.choice([1, 2, 3, 8, 16, 17, 31, 33, 64, 65, 200, 600]))
    units = -(-row_bytes // (config.stream_bytes if whole else config.group_bytes))
    lanes = 1 if whole else config.lanes
    pitch = units + int(rng.integers(3))
    rows = int(rng.integers(1, min(lanes * (1 + (config.tensor_words - units) // pitch), 40) + 1))
    stride = int(rng.choice([0, 1, row_bytes, row_bytes + 5, 3 * row_bytes]))
    line = int(rng.choice([0, 0, 1, 3, 7]))
    line_stride = int(rng.integers(0, 300)) if line else 0
    lines = (rows - 1) // line if line else 0
    reach = lines * line_stride + ((line or rows) - 1) * stride + row_bytes
    last = (-(-rows // lanes) - 1) * pitch + units
    return Copy(
        outward=outward,
        whole=whole,
        line=line,
        # Sometimes the last rows lie beyond an end.
        external=int(rng.integers(max(1, SIZE - max(row_bytes, reach - 100) + 1))),
        row_bytes=row_bytes,
        stride=stride,
        line_stride=line_stride,
        rows=rows,
        tensor=int(rng.integers(config.tensor_words - max(units, last - 4) + 1)),
        pitch=pitch,
    )


def inside(config, copy: Copy) -> bool:
    """Row 0 is whole inside both memories."""
    size = config.stream_bytes if copy.whole else config.group_bytes
    return (
        copy.external + copy.row_bytes <= SIZE
        and copy.tensor + -(-copy.row_bytes // size) <= config.tensor_words
    )


@pytest.mark.parametrize("seed", range(2))
def test_any_rows(device, seed):
    rng = np.random.default_rng(seed)
    memories = Memories(device, rng)
    for _ in range(3):
        # Several of one direction follow each other, so they overlap in time; then the other.
        asked = [
            some_copy(device.config, rng, int(outward))
            for outward in rng.integers(0, 2, 4)
            for _ in range(rng.integers(1, 4))
        ]
        copies = [copy for copy in asked if inside(device.config, copy)]
        for copy in copies:
            memories.move(copy)
        exchange(device, copies)
        memories.check()


def test_windows_of_an_image(device):
    """A 9 x 7 image of one channel, without a border: rows of three pixels, and zeros behind."""
    config = device.config
    image = np.arange(1, 64, dtype=np.uint8).reshape(9, 7)
    data = np.pad(image.reshape(-1), (3, -(63 + 3) % config.stream_bytes))
    device.write_memory(0, data, external=True)
    # Of each line five windows; the lines' second and later ones follow the ones before.
    windows = Copy(
        external=3, row_bytes=3, stride=1, rows=45, line=5, line_stride=7, tensor=4, pitch=2
    )
    exchange(device, [windows])
    held = device.read_memory(4, 90).reshape(-1, 2, config.lanes, config.group_bytes)
    rows = held[:, 0].reshape(-1, config.group_bytes)[:45]
    wanted = np.lib.stride_tricks.sliding_window_view(image, 3, axis=1).reshape(45, 3)
    assert (rows[:, :3] == wanted).all() and not rows[:, 3:].any()
    assert not device.flags()


def test_rows_beyond_an_end_are_left_out(device):
    rng = np.random.default_rng(3)
    memories, words = Memories(device, rng), device.config.tensor_words
    beyond = [
        Copy(external=SIZE - 50, row_bytes=20, stride=20, rows=5, tensor=0, pitch=3),
        # The second line begins inside again.
        Copy(
            external=SIZE - 90,
            row_bytes=20,
            stride=40,
            rows=6,
            line=3,
            line_stride=1,
            tensor=30,
            pitch=3,
        ),
        Copy(external=0, row_bytes=20, stride=20, rows=9, tensor=words - 6, pitch=3),
        Copy(external=9, row_bytes=9, stride=(1 << 32) - 1, rows=3, tensor=7, pitch=0xFFFF),
    ]
    for copy in beyond:
        for outward in (0, 1):
            device.clear()
            memories.move(replace(copy, outward=outward))
            exchange(device, [replace(copy, outward=outward), Sync()])
            assert device.flags() == {Flag.EXTERNAL}
    memories.check()


def test_what_is_refused(device):
    rng = np.random.default_rng(4)
    memories, config = Memories(device, rng), device.config
    good = Copy(external=5, row_bytes=40, stride=40, rows=9, tensor=3, pitch=5)
    words = SIZE // config.stream_bytes
    for bad, status in (
        (replace(good, rows=0), Status.BAD_ADDRESS),
        (replace(good, row_bytes=0), Status.BAD_ADDRESS),
        (replace(good, external=SIZE - 39), Status.BAD_ADDRESS),
        (replace(good, external=1 << 39), Status.BAD_ADDRESS),
        (replace(good, row_bytes=(1 << 24) - 1, rows=1), Status.BAD_ADDRESS),
        (replace(good, tensor=config.tensor_words - 1), Status.BAD_ADDRESS),
        (replace(good, tensor=config.tensor_words), Status.BAD_ADDRESS),
        (replace(good, pitch=1), Status.BAD_FIELD),
        (replace(good, whole=1, pitch=1, rows=2), Status.BAD_FIELD),
        (Read(words, 1, external=1), Status.BAD_ADDRESS),
        (Read(0, words + 1, external=1), Status.BAD_ADDRESS),
        (Read(0, 0, external=1), Status.BAD_ADDRESS),
        (Read((1 << 32) - 1, 1, external=1), Status.BAD_ADDRESS),
    ):
        (answer,) = device.transport.exchange([packet_of(config, bad)])
        assert answer_of(config, answer).status == status, bad
    # One window needs no pitch.
    for fine in (replace(good, pitch=0, rows=1), replace(good, whole=1, pitch=0, rows=1)):
        exchange(device, [fine])
        memories.move(fine)
    memories.check()
    assert not device.flags()


@pytest.mark.parametrize("more", [-2, -1, 1])
def test_a_payload_of_another_length(device, more):
    """Of one that ends early what came is written, and no more; the next command is as ever."""
    config, words = device.config, 5
    before = bytes(range(255, 255 - 2 * config.stream_bytes, -1)) * 4
    device.write_memory(0, before, external=True)
    payload = bytes(range(1, 1 + config.stream_bytes)) * (words + more)
    (answer,) = device.transport.exchange([packet_of(config, Write(1, words, external=1), payload)])
    assert answer_of(config, answer).status == Status.BAD_LENGTH
    came = min(words, words + more)
    held = device.read_memory(0, 8, external=True).tobytes()
    size = config.stream_bytes
    assert held == before[:size] + payload[: came * size] + before[(1 + came) * size :]


def test_copies_wait_and_are_waited_for(device):
    """There and back through tensor memory, word by word, each step by what it waits for."""
    config, rng = device.config, np.random.default_rng(6)
    size = config.stream_bytes
    data = rng.integers(0, 256, (64, size), np.uint8)
    device.write_memory(0, data, external=True)
    commands = []
    for word in range(32):
        commands += [
            Copy(external=word * size, row_bytes=size, whole=1, tensor=word % 3),
            Copy(
                outward=1,
                external=(95 - word) * size,
                row_bytes=size,
                whole=1,
                tensor=word % 3,
                waits=after({Engine.COPY: 0, Engine.FILL: 0, Engine.STORE: 3}),
            ),
        ]
    exchange(device, commands)
    assert (device.read_memory(64, 32, external=True) == data[31::-1]).all()


def test_a_product_beside_copies(device):
    """The array, its loads and the host's words while copies go both ways."""
    rng = np.random.default_rng(8)
    memories = Memories(device, rng)
    x, w = rng.integers(-9, 10, (9, 30)), rng.integers(-9, 10, (30, 7))
    copies = [
        Copy(external=77 * n, row_bytes=500, whole=1, tensor=64 * n, outward=n % 2)
        for n in range(4)
    ]
    for copy in copies:
        memories.move(copy)
    exchange(device, copies)
    y, _ = device.matmul(x.astype(float), w.astype(float))
    assert (y == x @ w).all()
    memories.check()


def test_memories_that_are_not_there(device):
    config = device.config
    words = SIZE // config.stream_bytes
    with pytest.raises(FormatError, match=f"not all in external memory, whose {words:,} words end"):
        device.read_memory(words - 1, 2, external=True)
    without = ModelTransport(replace(config, external_bits=0))
    with Device(without) as plain:
        with pytest.raises(DeviceError, match="no external memory: build one with external_bits"):
            plain.write_memory(0, bytes(config.stream_bytes), external=True)
        for command, status in (
            (Copy(external=0, row_bytes=1, tensor=0), Status.BAD_OPCODE),
            (Read(0, 1, external=1), Status.BAD_FIELD),
        ):
            (answer,) = plain.transport.exchange([packet_of(config, command)])
            assert answer_of(config, answer).status == status


SIMULATED = [ONE, LANES]


@pytest.mark.parametrize("config", SIMULATED, ids=lambda c: c.name)
@pytest.mark.parametrize("outward", [0, 1])
@pytest.mark.parametrize("modelled", [True, False], ids=["model", "simulated"])
def test_errors_of_the_memory(config, outward, modelled):
    """What lies in broken beats stays as it was, all else is copied; the device goes on."""
    rng, size = np.random.default_rng(9), config.stream_bytes
    broken = range(40 * size, 42 * size)
    transport = ModelTransport(config, broken) if modelled else simulated(config)
    with Device(transport) as device:
        memories = Memories(device, rng)
        if isinstance(transport, SimulatedTransport):
            transport.behave(External(broken=broken))
        for first, whole in ((38 * size, 0), (40 * size + 3, 1), (39 * size - 1, 0), (0, 0)):
            device.clear()
            copy = Copy(
                outward=outward,
                whole=whole,
                external=first,
                row_bytes=5 * size - 7,
                tensor=9,
                rows=2,
                stride=900,
                pitch=40,
            )
            memories.move(copy, broken)
            exchange(device, [copy, Sync()])
            assert device.flags() == ({Flag.EXTERNAL} if first else set())
        if isinstance(transport, SimulatedTransport):
            transport.behave(External())
        memories.check()


@pytest.mark.parametrize("config", SIMULATED, ids=lambda c: c.name)
def test_a_reset_in_the_middle(config):
    """Whatever is under way: the bus ends what it has begun, and nothing of it comes later."""
    rng = np.random.default_rng(10)
    transport = simulated(config)
    with Device(transport) as device:
        memories = Memories(device, rng)
        for n, latency in enumerate((0, 5, 60, 3, 80, 40)):
            outward = n % 2
            transport.behave(External(latency, stall=0.3))
            copy = Copy(outward=outward, external=801, row_bytes=1000, tensor=0, whole=1)
            exchange(device, [copy] * 3)
            device.reset()
            transport.behave(External())
            # Of the destination some is new.
            held = device.read_memory(0, config.tensor_words)
            outside = device.read_memory(0, SIZE // config.stream_bytes, external=True).reshape(-1)
            for before, now, touched in (
                (memories.tensor.reshape(-1), held.reshape(-1), not outward and range(1024)),
                (memories.external, outside, outward and range(801, 1801)),
            ):
                changed = np.flatnonzero(before != now)
                assert set(changed) <= set(touched or ())
            memories.tensor, memories.external = held.copy(), outside.copy()
            again = some_copy(config, rng, 0)
            if inside(config, again):
                memories.move(again)
                exchange(device, [again])
            memories.check()


@pytest.mark.parametrize("config", SIMULATED[:1], ids=lambda c: c.name)
def test_a_memory_on_the_chip(config):
    """Where there is no DRAM: in Amaranth's simulator, with what a board with a serial line has."""
    rng = np.random.default_rng(11)
    with Device(AmaranthTransport(config)) as device:
        data = rng.integers(0, 256, (20, config.stream_bytes), np.uint8)
        device.write_memory(3, data, external=True)
        out = Copy(
            outward=1, external=1001, row_bytes=29, stride=50, rows=2, whole=1, tensor=8, pitch=4
        )
        exchange(device, [Copy(external=26, row_bytes=70, whole=1, tensor=8), out])
        held = device.read_memory(125, 10, external=True).reshape(-1)
        came = data.reshape(-1)[2:72]
        assert (held[1:30] == came[:29]).all() and (
            held[51:80] == np.pad(came[32:], (0, 9))[:29]
        ).all()
        assert not held[[0, *range(30, 51)]].any()
        assert not device.flags()
