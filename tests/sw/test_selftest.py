"""The self-test fails where a unit is broken, says so, and ends when the device is gone."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.config import PRESETS, Config
from heddle.hw.formats import FP16, INT8
from heddle.hw.isa.codes import Status
from heddle.hw.isa.link_protocol import FCS_BYTES, Kind, LinkStatus, decode, encode
from heddle.hw.platforms import BOARDS
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.link_model import LinkModel, ModelPort
from heddle.sw.errors import DeviceError
from heddle.sw.host import selftest
from heddle.sw.host.device import Device
from heddle.sw.transports.serial_link import LinkTransport
from heddle.sw.transports.simulated import SimulatedTransport

from ..sim.devices import EVERYTHING, TRAINING
from ..sim.devices import TINY as TINY_TENSORS

SIZES = {"activation_groups": 16, "weight_slots": 16, "schedule_records": 16}
TINY = Config("tiny", 2, 2, INT8, **SIZES)
WIDE = Config("wide", 2, 2, INT8, group=16, **SIZES)
FLOAT = Config("fp16", 2, 2, FP16, **SIZES)


class Unchecked(LinkModel):
    """Does not look at the FCS."""

    def _frame(self, body):
        if len(body) > FCS_BYTES and decode(body) is None:
            body = encode(body[:-FCS_BYTES])[1:-1]
        return super()._frame(body)


class Open(LinkModel):
    """Serves any session."""

    def _frame(self, body):
        content = decode(body)
        if content and content[0] != Kind.HELLO:
            head = content[:1] + self._session.to_bytes(2, "little")
            body = encode(head + content[3:])[1:-1]
        return super()._frame(body)


class Twice(LinkModel):
    """Executes a request that comes again."""

    def _frame(self, body):
        content = decode(body)
        if content and self._kept and content[3] == self._sequence:
            self.executed += 1
            return self._answer(content, LinkStatus.OK, value=self.executed)
        return super()._frame(body)


def behind(link) -> LinkTransport:
    port = ModelPort(TINY)
    port.model = link(TINY)
    return LinkTransport(port, timeout=0.01)


@pytest.mark.parametrize("link", [Unchecked, Open, Twice])
def test_a_broken_link_fails(link):
    first, *others = selftest.run(Device(behind(link)))
    assert first.unit == "serial link" and not first.passed
    assert all(result.passed for result in others)


@pytest.mark.parametrize("config", [TINY, WIDE, FLOAT], ids=lambda c: c.name)
def test_a_good_device_passes(config):
    results = selftest.run(Device(LinkTransport(ModelPort(config), timeout=0.01)))
    assert [r.unit for r in results] == ["serial link", *selftest.UNITS]
    assert all(result.passed for result in results), results


WHOLE = replace(PRESETS["small"], name="whole", tensor_words=4096, external_bits=20, training=True)
ADDED = [
    "tensor memory",
    "products in memory",
    "convolutions",
    "vector unit",
    "gradients",
    "external memory",
    "copies",
]
CONFIGS = [
    WHOLE,
    *PRESETS.values(),
    *dict.fromkeys(build.config for board in BOARDS.values() for build in board.builds),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_a_device_of_any_configuration_passes(config):
    results = selftest.run(Device(ModelTransport(config)))
    assert all(result.passed for result in results), results
    assert not any("not tested" in result.note for result in results), results
    there = [result.unit for result in results]
    assert there[: len(selftest.UNITS)] == [*selftest.UNITS]
    if config is WHOLE:
        assert there == [*selftest.UNITS, *ADDED]


SIMULATED = [
    (TINY_TENSORS, ADDED[:4]),
    (TRAINING, [*ADDED[:3], "gradients"]),
    pytest.param((EVERYTHING, [*ADDED[:4], *ADDED[5:]]), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("given", SIMULATED, ids=lambda given: given[0].name)
def test_a_simulated_device_passes(given):
    config, added = given
    with Device(SimulatedTransport(config)) as device:
        results = selftest.run(device)
    assert all(result.passed for result in results), results
    assert [result.unit for result in results] == [*selftest.UNITS, *added]


def test_a_device_too_small_for_a_test_says_so():
    config = replace(WHOLE, name="less", tensor_words=64)
    notes = {each.unit: each.note for each in selftest.run(Device(ModelTransport(config)))}
    assert notes["tensor memory"] == "64 words of 16 bytes"
    assert notes["vector unit"].startswith("not tested: a tensor of 18 x 16 elements")


class NoSkips(ModelTransport):
    """Records do not skip empty groups."""

    def _run(self, field):
        self._schedule &= np.uint8(self.config.group * 2 - 1)
        return super()._run(field)


class Untagged(ModelTransport):
    """Answers come in another order."""

    def exchange(self, packets, on_response=None):
        answers = super().exchange(packets, on_response)
        return [*answers[-1:], *answers[:-1]] if len(packets) > 90 else answers


class Blind(ModelTransport):
    """A flag is missing."""

    def read_register(self, address):
        return super().read_register(address) & ~(2 if address == 0x28 else 0)


class Everywhere(ModelTransport):
    """A register answers behind the last one of a kind too."""

    def read_register(self, address):
        return super().read_register(address) or int(address == 0x80)


class Stuck(ModelTransport):
    """A bit of one word is 1."""

    def _write(self, write, payload):
        status = super()._write(write, payload)
        self._memory[-1, 5] |= 0x10
        return status


class Folded(ModelTransport):
    """Words of which one bit of the address differs are one."""

    def _write(self, write, payload):
        return super()._write(replace(write, address=write.address & ~1024), payload)


class Strays(ModelTransport):
    """A byte outside the result changes when rows are stored."""

    def _store(self, run, rows):
        super()._store(run, rows)
        self._memory[-1, 0] += 1


class Alone(ModelTransport):
    """Addends are not added."""

    def _finish(self, run, sums, beside, mine):
        alone = replace(beside, addends=np.zeros_like(beside.addends))
        return super()._finish(run, sums, alone, mine)


class Borderless(ModelTransport):
    """What is beside an image is not zeros, but the pixels of other lines."""

    def _set_image(self, image):
        super()._set_image(image)
        wider = {"first_x": 0, "width": image.width + 2}
        self._image = replace(image, **wider if image.kernel_width > 1 else {})
        return Status.OK


class Inexact(ModelTransport):
    """The vector unit adds one to the last bit of all that it makes."""

    def _vector(self, command):
        status = super()._vector(command)
        first, count = command.streams[2]
        self._memory[first : first + count, 0] ^= 1
        return status


class Upright(ModelTransport):
    """Rows are not transposed."""

    def _rows(self, rows):
        return super()._rows(replace(rows, transposed=0))


class Short(ModelTransport):
    """The highest bit of external memory's addresses does not arrive."""

    def _write(self, write, payload):
        top = (1 << self.config.external_bits) // self.config.stream_bytes // 2
        address = write.address % top if write.external else write.address
        return super()._write(replace(write, address=address), payload)


class Early(ModelTransport):
    """A copy leaves the last row out."""

    def _copy(self, copy):
        return super()._copy(replace(copy, rows=copy.rows - 1)) if copy.rows > 1 else Status.OK


@pytest.mark.parametrize(
    ("device", "unit"),
    [
        (NoSkips, "empty groups"),
        (Untagged, "command queue"),
        (Blind, "flags"),
        (Everywhere, "registers"),
        (Stuck, "tensor memory"),
        (Folded, "tensor memory"),
        (Strays, "products in memory"),
        (Alone, "products in memory"),
        (Borderless, "convolutions"),
        (Inexact, "vector unit"),
        (Upright, "gradients"),
        (Short, "external memory"),
        (Early, "copies"),
    ],
)
def test_a_broken_unit_fails(device, unit):
    config = WHOLE if unit in ADDED else FLOAT
    results = {r.unit: r.passed for r in selftest.run(Device(device(config)))}
    assert not results[unit]


def test_a_device_that_is_lost_ends_it():
    class Lost(ModelTransport):
        left = 40

        def write_register(self, address, value):
            Lost.left -= 1
            if Lost.left < 0:
                raise DeviceError("gone")
            super().write_register(address, value)

    seen = []
    with pytest.raises(DeviceError, match="gone"):
        selftest.run(Device(Lost(TINY)), seen.append)
    assert seen and seen[0].passed and len(seen) < len(selftest.UNITS)
