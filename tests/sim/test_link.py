"""The serial link under faults: the right bits or a clear error, never a hang or a wrong result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heddle.hw.config import PRESETS, Config, ConfigError, preset
from heddle.hw.formats import FP16, INT8, ROUNDED, OutputFormat
from heddle.hw.isa.commands import Run, Sync
from heddle.hw.isa.host_stream import packet_of, response_limit
from heddle.hw.isa.link_protocol import BEATS_AT, encode
from heddle.hw.isa.registers import ADDRESS
from heddle.sim.bench.link import CONFIG, survive
from heddle.sim.engines.board import BoardPort
from heddle.sim.testbenches.link_model import LinkModel, ModelPort
from heddle.sw.errors import DeviceError
from heddle.sw.host.answers import answer_of
from heddle.sw.transports.serial_link import LinkTransport


def test_faults_on_the_model_of_the_link():
    result = survive(ModelPort, faults=3_000, seed=1)
    # A request executed twice shows as errors, a missing check of the FCS as wrong bits.
    assert result.faults >= 3_000 and result.jobs > 100 and result.errors == 0


def test_faults_on_the_gateware():
    result = survive(BoardPort, faults=400, seed=2)
    assert result.faults >= 400 and result.jobs > 20 and result.errors == 0


def test_a_dead_line_is_an_error():
    class Dead:
        name = "nothing"

        def write(self, data):
            pass

        def read(self, timeout):
            return b""

        def close(self):
            pass

    with pytest.raises(DeviceError, match="nothing answers"):
        LinkTransport(Dead())


@pytest.mark.parametrize("port", [ModelPort, BoardPort])
def test_a_new_session_resets_a_half_sent_packet(port):
    line = port(CONFIG)
    transport = LinkTransport(line)
    size = CONFIG.stream_bytes
    # One beat of a packet whose end never comes.
    assert transport._next(4, bytes([0, 0]) + bytes(size + 1))[0] == 1
    again = LinkTransport(line)
    sync = packet_of(CONFIG, Sync())
    (response,) = again.exchange([sync])
    assert answer_of(CONFIG, response).check(sync).rows == 0
    with pytest.raises(DeviceError, match="forgotten this session"):
        transport.read_register(0)


def test_gateware_answers_as_the_model_does():
    """Requests good and bad, whole and damaged: the same bytes back."""

    rng = np.random.default_rng(3)
    board, model = BoardPort(CONFIG), LinkModel(CONFIG)
    sequence = 0
    answers = 0
    for i in range(250):
        kind = int(rng.choice([1, 2, 2, 3, 4, 4, 5, 0, 200]))
        fresh = i == 0 or rng.random() < 0.8
        sequence = sequence + 1 & 0xFF if fresh else int(rng.integers(256))
        # Any address but those of counters of time, which the model has not.
        address = int(rng.choice([0, 4, 8, 12, 16, 20, 24, 28, ADDRESS["flags"], 0x200]))
        arguments = address.to_bytes(2, "little")
        if kind == 3:
            arguments = ADDRESS["control"].to_bytes(2, "little") + bytes([2, 0, 0, 0])
        if kind == 4:
            beats = int(rng.integers(0, 4))
            arguments = bytes([int(rng.integers(256)), 0])
            # Packets of noise: refused by the accelerator, one response each.
            for _ in range(beats):
                arguments += rng.bytes(CONFIG.stream_bytes) + bytes([0])
        if rng.random() < 0.1 and kind != 4:
            arguments += bytes(int(rng.integers(1, 5)))
        session = 0x1234 if rng.random() < 0.95 else 0x4321
        kind = 1 if i == 0 else kind
        head = bytes([kind]) + session.to_bytes(2, "little") + bytes([sequence])
        frame = bytearray(encode(head + arguments))
        if rng.random() < 0.1:
            frame[int(rng.integers(len(frame)))] ^= 1 << int(rng.integers(8))
        frame += b"\x7e"
        expected = model.feed(bytes(frame))
        board.write(bytes(frame))
        got = b""
        while part := board.read(0) if expected else b"":
            got += part
            if len(got) >= len(expected):
                break
        # The value of a response without one is not defined.
        assert bool(got) == bool(expected)
        if expected and kind in (1, 2) and expected[5] == 0:
            assert got == expected
        answers += bool(expected)
        if not fresh and expected:
            sequence = model._sequence
    assert answers > 150


def test_config_is_read_through_the_line():
    from heddle.sw.host.device import Device

    with Device(LinkTransport(BoardPort(CONFIG)), CONFIG.name) as device:
        assert device.config == CONFIG
    assert isinstance(CONFIG, Config) and CONFIG.format == INT8


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.binary(min_size=1, max_size=40).map(encode),
            st.sampled_from([b"\x7e", b"\x7d", b"\x7e\x7d\x7e", bytes(2_000)]),
        ),
        max_size=6,
    )
)
def test_no_bytes_wedge_the_gateware(parts):
    line = BoardPort(CONFIG)
    for part in parts:
        line.write(part)
        line.read(0)
    transport = LinkTransport(line)
    model = LinkTransport(ModelPort(CONFIG))
    assert transport.read_register(ADDRESS["magic"]) == model.read_register(ADDRESS["magic"])
    transport.close()


class Endless(LinkModel):
    """Takes every beat, and gives one each time that ends no packet."""

    exchanges = 0

    def _exchange(self, request):
        self.exchanges += 1
        assert self.exchanges < 100, "the host goes on for ever"
        size = self.config.stream_bytes
        return self._answer(
            request, count=len(request[BEATS_AT:]) // (size + 1), beats=bytes(size + 1)
        )


def test_a_response_that_never_ends():
    port = ModelPort(CONFIG)
    port.model = Endless(CONFIG)
    with pytest.raises(DeviceError, match="answers nonsense, more than it was asked for"):
        LinkTransport(port).exchange([packet_of(CONFIG, Sync())])


def test_more_responses_than_commands():
    port = ModelPort(CONFIG)
    right = port.model.device.exchange
    port.model.device.exchange = lambda sent: 3 * right(sent)
    told = []
    with pytest.raises(DeviceError, match="answers nonsense, more than it was asked for"):
        LinkTransport(port).exchange([packet_of(CONFIG, Sync())], told.append)
    assert told == [1]


LARGEST = Config("largest", 128, 128, FP16, interleave=16, lanes=16, group=16)


@pytest.mark.parametrize("config", [CONFIG, *PRESETS.values(), LARGEST], ids=lambda c: c.name)
def test_no_legal_response_is_beyond_its_limit(config):
    fields = dict.fromkeys(
        ("activation_base", "activation_stride", "slot_base", "schedule_base", "schedule_count"), 0
    )
    for tiles in (1, 0xFFFF):
        for output in ROUNDED:
            options = {"finish": True, "relu": False, "settings_page": 0, "row_blocks": tiles}
            run = packet_of(config, Run(output=output, **options, **fields))
            beats = config.header_beats + tiles * config.tile_rows * config.row_beats(output)
            limit = response_limit(run, config.stream_bytes)
            assert beats * config.stream_bytes <= limit
            if config is LARGEST and output is OutputFormat.FP32:
                assert beats * config.stream_bytes == limit
    header = config.header_beats * config.stream_bytes
    for packet in (packet_of(config, Sync()), b"\1", b"\xff" * 40):
        assert response_limit(packet, config.stream_bytes) == header


@pytest.mark.parametrize("field", ["rows", "columns", "interleave"])
def test_there_is_no_larger_tile_than_the_limit_is_for(field):
    with pytest.raises(ConfigError, match=field):
        preset("small", **{field: getattr(LARGEST, field) + 1})


def test_registers_that_are_silent_are_a_clear_error():
    port = ModelPort(CONFIG)
    transport = LinkTransport(port)
    port.model.silent = True
    for use in (lambda: transport.read_register(0), transport.begin):
        with pytest.raises(DeviceError, match="but not the accelerator behind it"):
            use()
