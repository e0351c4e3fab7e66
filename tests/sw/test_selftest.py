"""The self-test fails where a unit is broken, says so, and ends when the device is gone."""

import numpy as np
import pytest

from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8
from heddle.hw.isa.link_protocol import FCS_BYTES, Kind, LinkStatus, decode, encode
from heddle.hw.isa.registers import REGISTERS
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.link_model import LinkModel, ModelPort
from heddle.sw.errors import DeviceError
from heddle.sw.host import selftest
from heddle.sw.host.device import Device
from heddle.sw.transports.serial_link import LinkTransport

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
    """A register answers behind the last one too."""

    def read_register(self, address):
        return super().read_register(address) or int(address == 4 * len(REGISTERS))


@pytest.mark.parametrize(
    ("device", "unit"),
    [
        (NoSkips, "empty groups"),
        (Untagged, "command queue"),
        (Blind, "flags"),
        (Everywhere, "registers"),
    ],
)
def test_a_broken_unit_fails(device, unit):
    results = {r.unit: r.passed for r in selftest.run(Device(device(FLOAT)))}
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
