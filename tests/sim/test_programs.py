"""Programs of descriptors over tensors in tensor memory, against NumPy: what they must compute is
known without the compiler, and every order in which the engines may work gives the same."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.config import Config
from heddle.hw.formats import INT8, OutputFormat
from heddle.hw.isa.codes import Flag, Target
from heddle.hw.isa.commands import Load, Run, Sync
from heddle.hw.isa.descriptors import Fill, Image, Rows
from heddle.hw.isa.engines import Engine, after
from heddle.hw.isa.host_stream import elements_payload, indices_payload, packet_of
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device

from .devices import DEVICES, LANES, TINY


@pytest.fixture(params=[TINY, LANES], ids=lambda c: c.name)
def config(request):
    return request.param


@pytest.fixture(params=DEVICES)
def device(request, config):
    with Device(DEVICES[request.param](config), config.name) as device:
        yield device


def whole(config: Config, data: bytes) -> bytes:
    return data + bytes(-len(data) % config.stream_bytes)


class Product:
    """Integers x [B, K] and a dense w [K, C] in tensor memory, from word `base` on, in its format.

    Each row block is loaded to the page that the one before it does not use. The result goes to the
    host, or, as numbers of the format, to word `to` and those behind it.
    """

    def __init__(self, config: Config, x: np.ndarray, w: np.ndarray, base: int = 0, to: int = -1):
        self.config, self.x, self.w, self.to = config, x, w, to
        self.base, self.source = base, base
        dtype = np.int8 if config.format is INT8 else np.float16
        group, columns = config.group, config.columns
        self.groups = -(-x.shape[1] // group)
        blocks = -(-x.shape[0] // config.rows)
        padded = np.zeros((blocks * config.rows, self.groups * group), dtype)
        padded[: x.shape[0], : x.shape[1]] = x
        # [window, lane, group, M] to words of a group for each lane.
        windows = padded.reshape(-1, config.lanes, self.groups, group).swapaxes(1, 2)
        self.content = windows.tobytes()
        self.slots = self.groups * group
        dense = np.zeros((self.slots, -(-w.shape[1] // columns) * columns), dtype)
        dense[: w.shape[0], : w.shape[1]] = w
        self.fills = []
        places = np.repeat(np.arange(self.slots) % group, columns).reshape(-1, columns)
        records = np.full(self.groups, group, np.uint8).tobytes()
        self._place(Target.SCHEDULE, records, 0, self.groups)
        self._place(Target.INDICES, indices_payload(places.astype(np.uint8)), 0, self.slots)
        self._place(Target.INDICES, indices_payload(places.astype(np.uint8)), 1, self.slots)
        for block in range(dense.shape[1] // columns):
            values = dense[:, block * columns : (block + 1) * columns]
            raw = np.ascontiguousarray(values).view(f"u{dtype().itemsize}")
            self._place(Target.VALUES, elements_payload(config, raw), block % 2, self.slots)

    def _place(self, target: Target, payload: bytes, page: int, count: int):
        """Put what a FILL wants behind all that is there."""
        config = self.config
        payload = whole(config, payload)
        depth = config.weight_slots if target is not Target.SCHEDULE else config.schedule_records
        source = self.base + len(self.content) // config.stream_bytes
        words = len(payload) // config.stream_bytes
        self.fills.append(Fill(target, page * depth, count, source, words))
        self.content += payload

    def stored(self, column: int, block: int) -> dict[str, int]:
        """Where a tile of the result goes: a tensor with whole groups in its rows."""
        if self.to < 0:
            return {"output": OutputFormat.FP32}
        config = self.config
        element, windows = config.format.bits // 8, config.rows // config.lanes
        groups = -(-self.w.shape[1] // config.group)
        total = -(-self.x.shape[0] // config.lanes)
        return {
            "store": 1,
            "pad": int((column + 1) * config.columns >= self.w.shape[1]),
            "output": OutputFormat.INT8 if config.format is INT8 else OutputFormat.FP16,
            "destination": self.to + block * windows * groups,
            "words": min(windows, total - block * windows) * groups,
            "pitch": groups,
            "groups": groups,
            "offset": column * config.columns * element,
        }

    def commands(self) -> list:
        """Weights of the next column block come while the array works on this one."""
        config = self.config
        first, values = self.fills[:3], self.fills[3:]
        blocks = -(-self.x.shape[0] // config.rows)
        # Each row is an image of one pixel, which is `groups` words or a lane from the next one.
        steps = {
            f"{step}_{unit}": n
            for step in ("column", "line", "image", "tap", "tap_line")
            for unit, n in (
                ("words", self.groups if config.lanes == 1 else 0),
                ("lanes", int(config.lanes > 1)),
            )
        }
        sizes = ("width", "height", "out_width", "out_height", "kernel_width", "kernel_height")
        none = ("first_x", "first_y", "stride_x", "stride_y", "dilation_x", "dilation_y")
        image = Image(
            **dict.fromkeys(sizes, 1),
            **dict.fromkeys(none, 0),
            **steps,
            groups=self.groups,
            pitch=self.groups,
        )
        commands = [image, *first, values[0]]
        filled, moved = 4, 0
        window = config.rows // config.lanes
        for column in range(len(values)):
            if column + 1 < len(values):
                # Its page was last read by the RUNs of the column block before this one.
                free = after({Engine.ARRAY: 0}) if column else 0
                commands.append(replace(values[column + 1], waits=free))
                filled += 1
            for block in range(blocks):
                page = moved % 2
                commands.append(
                    Rows(
                        source=self.source + block * window * self.groups,
                        words=window * self.groups,
                        groups=self.groups,
                        rows=min(config.rows, self.x.shape[0] - block * config.rows),
                        address=page * config.activation_groups,
                        # All RUNs but the last have read the page that this one fills.
                        waits=after({Engine.ARRAY: 1}) if moved > 1 else 0,
                    )
                )
                moved += 1
                left = filled - (4 + column)
                commands.append(
                    Run(
                        finish=1,
                        relu=0,
                        **self.stored(column, block),
                        settings_page=0,
                        activation_base=page * config.activation_groups,
                        activation_stride=0,
                        row_blocks=1,
                        slot_base=(column % 2) * config.weight_slots,
                        schedule_base=0,
                        schedule_count=self.groups,
                        waits=after({Engine.ROWS: 0, Engine.FILL: left}),
                    )
                )
        return commands

    def run(self, device: Device) -> np.ndarray:
        config = self.config
        device.write_memory(self.base, whole(config, self.content))
        commands = [*self.commands(), Sync()]
        packets = [packet_of(config, command, tag=n) for n, command in enumerate(commands)]
        device.clear()
        answers = device.transport.exchange(packets)
        checked = [
            answer_of(config, answer).check(packet)
            for packet, answer in zip(packets, answers, strict=True)
        ]
        return self.result([answer for answer in checked if answer.rows])

    def result(self, answers: list) -> np.ndarray:
        """The product, of the RUNs' answers."""
        config = self.config
        tiles = [a.outputs(config, OutputFormat.FP32).view("<f4")[0] for a in answers]
        blocks = -(-self.x.shape[0] // config.rows)
        columns = [np.concatenate(tiles[at : at + blocks]) for at in range(0, len(tiles), blocks)]
        return np.concatenate(columns, axis=1)[: self.x.shape[0], : self.w.shape[1]]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (4, 8, 4), (5, 20, 9), (13, 64, 17), (32, 100, 12)], ids=str
)
def test_a_product_of_tensors(device, shape):
    rng = np.random.default_rng(shape)
    batch, inner, outputs = shape
    x, w = rng.integers(-99, 100, (batch, inner)), rng.integers(-99, 100, (inner, outputs))
    got = Product(device.config, x, w).run(device)
    assert (got == x @ w).all()
    assert not device.flags()


def test_rows_beyond_a_tensor_are_zeros(device):
    """What lies there does not count, not even as infinities."""
    config = device.config
    x, w = np.ones((1, 8), int), np.ones((8, 1), int)
    product = Product(config, x, w)
    beyond = b"\xff\x7f" * (config.group * config.format.bits // 16)
    size, lanes = len(beyond), config.lanes
    content = bytearray(product.content)
    for row in range(1, config.rows):
        at = (row // lanes * product.groups * lanes + row % lanes) * size
        content[at : at + size] = beyond
    product.content = bytes(content)
    assert (product.run(device) == 8).all() and not device.flags()


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (5, 20, 9, 4), (13, 40, 17, 11), (16, 8, 32, 5)], ids=str
)
def test_a_product_of_a_product(device, shape):
    """The first result stays on the device, and is the second one's left operand."""
    config, rng = device.config, np.random.default_rng(shape)
    batch, inner, middle, outputs = shape
    # Small enough to be exact in FP16, and in INT8.
    x, u = rng.integers(-2, 3, (batch, inner)), rng.integers(-1, 2, (inner, middle))
    u[rng.random(u.shape) < 0.5] = 0
    v = rng.integers(-9, 10, (middle, outputs))
    assert abs(x @ u).max() < 128
    size = config.tensor_words // 2
    guard = rng.integers(0, 256, (config.tensor_words, config.stream_bytes), np.uint8)
    device.write_memory(0, guard)
    to = size - 300
    first = Product(config, x, u, 0, to)
    second = Product(config, x @ u, v, size)
    second.source = to
    for product in (first, second):
        device.write_memory(product.base, whole(config, product.content))
    # What the second loads is in memory, and nobody reads what was there before it in the buffers.
    done = after({Engine.STORE: 0, Engine.ARRAY: 0})
    later = (
        c
        if isinstance(c, Run | Image)
        else replace(c, waits=c.waits & ~after({Engine.ARRAY: 30}) | done)
        for c in second.commands()
    )
    packets = joined(config, first.commands()) + [packet_of(config, c) for c in later]
    answers = [answer_of(config, answer) for answer in device.transport.exchange(packets)]
    assert not any(answer.status for answer in answers)
    assert (second.result([a for a in answers if a.rows]) == x @ u @ v).all()
    # What is stored, and nothing around it.
    groups, windows = -(-middle // config.group), -(-batch // config.lanes)
    words = windows * groups
    held = device.read_memory(to - 8, words + 16)
    assert (held[:8] == guard[to - 8 : to]).all()
    assert (held[words + 8 :] == guard[to + words : to + words + 8]).all()
    numbers = held[8:-8].reshape(windows, groups, config.lanes, -1).swapaxes(1, 2)
    numbers = numbers.reshape(windows * config.lanes, -1).copy()
    numbers = numbers.view(np.int8 if config.format is INT8 else np.float16)
    assert (numbers[:batch, :middle] == x @ u).all()
    assert not numbers[:batch, middle:].any() and not device.flags()


def joined(config: Config, commands: list, size: int = 7) -> list[bytes]:
    """So many commands a packet, of those whose answers have no more to say."""
    packets = [packet_of(config, command, tag=n) for n, command in enumerate(commands)]
    return [b"".join(packets[at : at + size]) for at in range(0, len(packets), size)]


@pytest.mark.parametrize("more", [-1, 1])
def test_words_that_are_not_as_many_as_the_buffer_takes(device, more):
    config = device.config
    device.write_memory(0, bytes(64 * config.stream_bytes))
    count = 8 * config.stream_bytes
    bad = Fill(Target.SCHEDULE, 0, min(count, config.schedule_records), 0, 8 + more)
    if count > config.schedule_records:
        bad = replace(bad, words=config.schedule_records // config.stream_bytes + more)
    packets = [packet_of(config, bad), packet_of(config, Sync())]
    answers = device.transport.exchange(packets)
    assert [answer_of(config, a).status for a in answers] == [0, 0]
    assert device.flags() == {Flag.FAULT}
    device.clear()
    # The next one is as if nothing had been.
    assert (Product(config, np.ones((2, 9), int), np.ones((9, 3), int)).run(device) == 9).all()
    assert not device.flags()


def test_a_host_that_loads_beside_the_movers(device):
    """A LOAD waits until they are done, and both write what they should."""
    config = device.config
    product = Product(config, np.full((4, 16), 3), np.full((16, 4), 2))
    device.write_memory(0, whole(config, product.content))
    commands = product.commands()
    records = np.full(product.groups, config.group, np.uint8).tobytes()
    load = Load(Target.SCHEDULE, config.schedule_records, product.groups)
    packets = [packet_of(config, c) for c in commands[:-1]]
    packets.append(packet_of(config, load, records))
    packets.append(packet_of(config, replace(commands[-1], schedule_base=config.schedule_records)))
    answer = answer_of(config, device.transport.exchange(packets)[-1]).check(packets[-1])
    assert (answer.outputs(config, OutputFormat.FP32).view("<f4") == 96).all()
