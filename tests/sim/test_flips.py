"""One bit that flips, anywhere that commands are stored or sent, is found."""

from pathlib import Path

import numpy as np
import pytest

from heddle.hw.config import HEADER_BYTES, Config
from heddle.hw.formats import INT8
from heddle.hw.isa.codes import Status, Target
from heddle.hw.isa.commands import ColumnSettings, Load, Run, Sync
from heddle.hw.isa.host_stream import packet_of
from heddle.hw.isa.link_protocol import FLAG, PROTOCOL_VERSION, Kind, encode
from heddle.hw.isa.registers import ADDRESS, MAGIC
from heddle.hw.link.receiver import RequestReceiver
from heddle.hw.link.responder import Responder
from heddle.sim.bench.link import CONFIG
from heddle.sim.engines.board import BoardPort
from heddle.sim.testbenches.common import environment
from heddle.sim.testbenches.link_bench import link
from heddle.sim.testbenches.link_model import ModelPort
from heddle.sim.testbenches.runner import simulate
from heddle.sw.compiler import packing
from heddle.sw.errors import FormatError
from heddle.sw.host.answers import answer_of
from heddle.sw.nn import container
from heddle.sw.nn.network import DEFAULT
from heddle.sw.transports.simulated import SimulatedTransport

from .mutants import CHOSEN, Mutant, Mutated, build_in


def flips(data: bytes):
    """`data` with each of its bits flipped in turn."""
    for position in range(len(data)):
        for bit in range(8):
            yield data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


def refused(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    with pytest.raises(FormatError, match=f"{path.name} .*(copy it again|pack)"):
        container.load(path)


def test_a_packed_file(tmp_path):
    weights = packing.pack(np.arange(-4, 4)[:, None], INT8, 8, 8)
    path = tmp_path / "w.safetensors"
    container.save(path, {"w": weights})
    for data in flips(path.read_bytes()):
        refused(data, path)


@pytest.mark.slow
def test_the_network_that_ships(tmp_path):
    """Every bit of its header, and many of its tensors, which one checksum covers."""
    data = DEFAULT.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    bits = np.random.default_rng(1).integers(8 * header, 8 * len(data), 5_000)
    for bit in (*range(8 * header), *map(int, bits)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(bytes(flipped), tmp_path / "w.safetensors")


def test_a_commands_header():
    """Also one that makes another command of it."""
    config = Config("flips", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
    fields = dict(
        *(dict(activation_base=0, activation_stride=1, slot_base=0),),
        **dict(schedule_base=0, schedule_count=1, row_blocks=1),
    )
    commands = [
        packet_of(config, Sync()),
        packet_of(config, ColumnSettings(1, 0, 1 << 15, -15, 7)),
        packet_of(config, Load(Target.SCHEDULE, 3, 2), bytes([1, 1])),
        packet_of(config, Run(finish=True, relu=False, output=0, settings_page=0, **fields)),
    ]
    device = SimulatedTransport(config)
    for command in commands:
        head, rest = command[:HEADER_BYTES], command[HEADER_BYTES:]
        packets = [flipped + rest for flipped in flips(head)]
        for answer in device.exchange(packets):
            assert answer_of(config, answer).status == Status.BAD_CHECK
        (answer,) = device.exchange([command])
        assert answer_of(config, answer).status == Status.OK
    device.close()


@pytest.mark.parametrize("port", [ModelPort, BoardPort])
def test_a_request_on_the_line(port):
    """Nothing that a flip makes of a request is carried out; the request itself then is."""
    line = port(CONFIG)

    def ask(frame: bytes) -> bytes:
        line.write(frame)
        answer = b""
        while part := line.read(0):
            answer += part
        return answer

    hello = encode(bytes([Kind.HELLO, 1, 0, 0]) + PROTOCOL_VERSION.to_bytes(2, "little"))
    assert ask(hello)
    write = bytes([Kind.WRITE, 1, 0, 1]) + ADDRESS["control"].to_bytes(2, "little") + bytes(4)
    frame = encode(write)
    for body in flips(frame[1:-1]):
        assert ask(bytes([FLAG]) + body + bytes([FLAG])) == b""
    assert ask(frame)
    read = encode(bytes([Kind.READ, 1, 0, 2]) + ADDRESS["magic"].to_bytes(2, "little"))
    assert MAGIC.to_bytes(4, "little") in ask(read)


def test_the_links_stores(monkeypatch):
    """What is stored with a wrong bit is neither executed nor believed."""

    def flipped(byte: str, address: str, store: int) -> str:
        """As in `link_flips_bench.flip`."""
        return f"{byte} ^ Mux({CHOSEN}[3:] == {address} + {1 + 16 * store}, 1 << {CHOSEN}[:3], 0)"

    stored = {
        RequestReceiver: ("deframer.data", flipped("deframer.data", "length", 0)),
        Responder: ("self.i.data", flipped("self.i.data", "self.i.address", 1)),
    }
    edits = {
        part: ((f"store.data.eq({a})", f"store.data.eq({b})"),) for part, (a, b) in stored.items()
    }
    mutants = [Mutant("bits flip in a store", "", part, edit) for part, edit in edits.items()]
    chosen = build_in(monkeypatch, mutants)
    simulate(
        Mutated(link(CONFIG), chosen), "tests.sim.link_flips_bench", "flips", environment(CONFIG)
    )
