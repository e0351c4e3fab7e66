"""The sequencer's scoreboard: what must come of every packet, and that it does."""

import struct
from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.config import HEADER_BYTES
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Opcode, Status, Target
from ...hw.isa.commands import ALL_COLUMNS, Run
from ...hw.isa.host_stream import packet_of
from ...hw.isa.maps import address_bits, chunks
from ...hw.layouts.array import MODE
from ...sw.host.answers import answer_of
from ..golden.device import ModelTransport
from .common import Sink, Source, join, until
from .sequencer_engines import ENGINES, Command, Engines
from .sequencer_states import States

WORDS = {
    Opcode.LOAD: ("target", "address", "count"),
    Opcode.SETTINGS: ("column", "entry", "scale", "exponent", *(f"bias_{i}" for i in range(6))),
    Opcode.RUN: (
        *("mode", "activation_base", "activation_stride", "row_blocks"),
        *("slot_base", "schedule_base", "schedule_count"),
        *("destination", "words", "pitch", "groups", "offset"),
    ),
    Opcode.WRITE: ("address", "address_high", "count", "count_high"),
    Opcode.READ: ("address", "address_high", "count", "count_high"),
    Opcode.FILL: (
        *("target", "address", "count", "source", "source_high", "words", "words_high"),
        *("indices", "indices_high", "index_words", "index_words_high"),
    ),
    Opcode.SIDE: (
        *("addend_offset", "addend_words", "addend_pitch", "addend_groups", "addend_plane"),
        *("mask_offset", "output_plane"),
    ),
}
"""A header's halfwords from 1 on, told apart without `hw.isa`. The mode is finish, ReLU, two bits
of output format, store, pad, the page of settings in seven bits, addend, RAW addend, mask."""
ROWS_BITS, IMAGE_BITS = 184, 218
"""Of their fields."""
TILE = WORDS[Opcode.RUN][1:7]
"""What the array wants to know of a RUN, beside its mode."""


def kind_of(target: Target) -> str:
    return {Target.ACTIVATIONS: "activations", Target.SCHEDULE: "schedule"}.get(target, "weights")


def understood(config, model: ModelTransport, packet: bytes) -> Command:
    """What a packet asks for, and by the golden model how it is answered."""
    answer = answer_of(config, model.exchange([packet])[0])
    response = join((answer.opcode, answer.tag), 8) | answer.status << 16 | answer.rows << 32
    head = packet[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
    words = struct.unpack("<16H", head)
    names = WORDS.get(answer.opcode, ())
    command = Command(
        packet,
        answer.opcode,
        Status(answer.status),
        response,
        dict(zip(names, words[1:], strict=False)),
    )
    fields, bits = command.fields, address_bits(config)
    if command.opcode == Opcode.LOAD:
        if command.status in (Status.OK, Status.BAD_LENGTH, Status.BAD_SCHEDULE):
            target = fields["target"]
            known = target in list(Target)
            depth = 1 << (bits[Target(target)] - 1) if known else 0
            inside = fields["address"] % depth + fields["count"] <= depth if known else False
            payload = packet[config.header_beats * config.stream_bytes :]
            if payload and inside and fields["count"] and fields["address"] < 2 * depth:
                command.writes.extend(dealt(config, Target(target), fields, payload))
                command.pages = {kind_of(Target(target)): fields["address"] // depth}
    elif command.opcode == Opcode.RUN and command.good:
        command.pages = {
            "activations": fields["activation_base"] // config.activation_groups,
            "weights": fields["slot_base"] // config.weight_slots,
            "schedule": fields["schedule_base"] // config.schedule_records,
        }
        command.stores = bool(fields["mode"] >> 4 & 1)
        if fields["mode"] & 1:
            command.output = None if command.stores else fields["mode"] >> 2 & 3
            command.pages["settings"] = fields["mode"] >> 6 & 127
    elif command.opcode == Opcode.WRITE:
        # What comes is written, if all that was announced has room.
        if command.status in (Status.OK, Status.BAD_LENGTH):
            payload = packet[config.header_beats * config.stream_bytes :]
            for number in range(min(fields["count"], len(payload) // config.stream_bytes)):
                word = payload[number * config.stream_bytes :][: config.stream_bytes]
                command.writes.append((fields["address"] + number, int.from_bytes(word, "little")))
            command.pages = {"memory": 0} if command.writes else {}
    elif command.engine in ENGINES[:2] and command.good:
        command.pages = {"moved": 0}
    elif command.opcode == Opcode.READ and command.good:
        command.memory = fields["address"], fields["count"]
    elif command.opcode == Opcode.SETTINGS and command.good:
        command.pages = {"settings": fields["entry"] // config.interleave}
    return command


def told_apart(config, packet: bytes) -> list[tuple[bytes, bytes]]:
    """The commands of a packet, each with what comes after it."""
    size, commands = config.header_beats * config.stream_bytes, []
    while packet:
        with_payload = packet[0] in (Opcode.LOAD, Opcode.WRITE)
        at = len(packet) if with_payload else size
        commands.append((packet[:at], packet[at:]))
        packet = packet[at:]
    return commands


def dealt(config, target: Target, fields: dict[str, int], payload: bytes):
    """The payload's units in order, a chunk at a time, as far as they came."""
    kind = chunks(config)[target]
    bits = int.from_bytes(payload, "little")
    beats = len(payload) // config.stream_bytes
    for i in range(min(fields["count"] * kind.per_word, beats * kind.per_beat)):
        data = bits >> (i * kind.bits) & ((1 << kind.bits) - 1)
        yield int(target), fields["address"] + i // kind.per_word, i % kind.per_word, data


class Bench(Engines):
    """Scoreboard, and the engines that the sequencer works for."""

    def __init__(self, dut, config, pause: float, hold: int):
        super().__init__(dut, config, hold)
        self.model = ModelTransport(config)
        self.commands: list[Command] = []
        self.answered = self.errored = 0
        self._unanswered: deque[Command] = deque()
        self._due: dict[int, deque[Command]] = {opcode: deque() for opcode in Opcode}
        """Commands whose effect is still to be seen, by opcode."""
        self._outputs: deque[Command] = deque()
        """RUNs whose rows' way is still to be told."""
        self._beside: deque[Command] = deque()
        """RUNs whose side operands' places are."""
        self._side: dict[str, int] = dict.fromkeys(WORDS[Opcode.SIDE], 0)
        """What the last SIDE has said."""
        self.source = Source(dut, "i", pause)
        self.runs = Sink(dut, "run", pause, self._run_taken)
        self.responses = Sink(dut, "response", pause, self._response_taken)
        cocotb.start_soon(self._watch())
        if config.tensor_words:
            self.outputs = Sink(dut, "output", pause, self._output_taken)
            self.sides = Sink(dut, "side", pause, self._side_taken)
            self.movers = [
                Sink(dut, name, pause, lambda payload, op=op: self._move_taken(op, payload))
                for name, op in zip(("fill", "row"), ENGINES[:2], strict=True)
            ]
            self.states = States(dut, lambda: len(self.responses.received) == self.answers)
        self.begin()

    @property
    def answers(self) -> int:
        """Packets that were sent."""
        return sum(command.answered for command in self.commands)

    def send(self, packet: bytes) -> Command:
        """Send a packet; returns the command that it is answered for."""
        config = self.config
        packet += bytes(-len(packet) % config.stream_bytes)
        commands = []
        for own, rest in told_apart(config, packet):
            # With rows or words in its answer no other may come after it; any beat would do.
            mode = int.from_bytes(own[2:4], "little")
            has_more = own[0] == Opcode.READ or (own[0] == Opcode.RUN and mode & 17 == 1)
            junk = bytes(config.stream_bytes) if rest and has_more else b""
            commands.append(understood(config, self.model, own + junk))
            commands[-1].answered = not (rest and commands[-1].good)
            if not commands[-1].good:
                break
        return self.offer(packet, *commands)

    def offer(self, packet: bytes, *commands: Command) -> Command:
        """Send a packet of which it is known what must come of each of its commands."""
        for command in commands:
            self.commands.append(command)
            if command.opcode == Opcode.SIDE and command.good:
                self._side = command.fields
            command.side = self._side
            if self.config.tensor_words and command.good:
                self.states.sent(command)
            if command.opcode == Opcode.RUN and command.good and command.fields["mode"] >> 13 & 5:
                self._beside.append(command)
            if command.answered:
                self._unanswered.append(command)
            if command.pages:
                self._due[command.engine].append(command)
            if self.config.tensor_words and "settings" in command.pages:
                if command.opcode == Opcode.RUN:
                    self._outputs.append(command)
        width = self.config.stream_bytes
        for at in range(0, len(packet), width):
            last = at + width >= len(packet)
            beat = int.from_bytes(packet[at : at + width], "little")
            self.source.queue.append(beat | last << (8 * width))
        return commands[-1]

    async def finish(self):
        """Wait for every answer and every RUN's end, and see that nothing is left over."""
        await until(
            self.dut.clk,
            lambda: len(self.responses.received) >= self.answers and not self._at_work(),
            400 * len(self.commands) + 4 * self.hold * len(self.commands) + 1000,
            "the answer to every command",
        )
        for _ in range(20):
            await RisingEdge(self.dut.clk)
        assert len(self.responses.received) == self.answers
        assert not any(self._due.values()), "something that was asked for was not done"
        assert not self._outputs, "rows without a way"
        assert not self._beside, "side operands without a place"
        assert self.answered == self.answers
        assert self.errored == sum(not command.good for command in self.commands)

    def _response_taken(self, payload: int):
        command = self._unanswered.popleft()
        assert payload & ((1 << 64) - 1) == command.response, command
        if command.memory:
            self.reading.append(command)
            address, count = command.memory
            assert payload >> 66 == 1 | address << 1 and command.response >> 32 == count
        elif command.output is not None:
            assert payload >> 64 & 7 == command.output
        else:
            assert payload >> 66 & 1 == 0
        if command.opcode == Opcode.SYNC and command.good:
            for earlier in self._before(command):
                if earlier.opcode == Opcode.RUN and earlier.good:
                    assert earlier.accepted and earlier.settings_released
                if earlier.engine in ENGINES and earlier.good:
                    assert earlier.released
        if command.opcode in (Opcode.SYNC, Opcode.READ) and command.good:
            assert all(c.stored for c in self._before(command) if c.stores)

    def _run_taken(self, payload: int):
        command = self._due[Opcode.RUN].popleft()
        fields, mode = command.fields, command.fields["mode"]
        tile = join((fields[name] for name in TILE), 16) << MODE(self.config).size
        page = (self.config.settings_pages - 1).bit_length()
        known = mode & 15 | (mode >> 6 & 127) << 4
        known |= (mode >> 13 & 1) << page + 4 | (mode >> 15) << page + 5
        assert payload == known | tile, fields
        command.accepted = True
        self._waited(command)
        self.working.append(command)

    def _output_taken(self, payload: int):
        """Where the rows of a RUN go, by the words of `commands.Run`."""
        config, command = self.config, self._outputs.popleft()
        fields, mode = command.fields, command.fields["mode"]
        count = fields["row_blocks"] * config.rows
        # A RAW row leaves as four.
        count *= 4 if mode >> 2 & 3 == 3 else 1
        expected = [(mode >> 2 & 3, 2), (count, ((1 << 18) * config.rows - 1).bit_length())]
        expected.append((mode >> 4 & 1, 1))
        if command.stores:
            group = fields["offset"] // config.group_bytes
            windows = config.rows // config.lanes
            start = fields["destination"] + (windows - 1) * fields["pitch"] + group
            limit = fields["destination"] + fields["words"] - fields["groups"] + group
            # As many groups as the longest row reaches into.
            most = -(-(4 * config.columns + config.group_bytes) // config.store_bytes) - 1
            most = -(-most * config.store_bytes // config.group_bytes)
            unit = fields["offset"] % config.group_bytes // config.store_bytes
            expected += [
                (start, (config.tensor_words + windows * 0xFFFF - 1).bit_length()),
                (limit, (config.tensor_words - 1).bit_length()),
                (fields["pitch"], 16),
                (min(fields["groups"] - group, most), most.bit_length()),
                (unit, (config.group_bytes // config.store_bytes - 1).bit_length()),
                (mode >> 5 & 1, 1),
                (command.side["output_plane"], 16),
            ]
        same(payload, expected)

    def _side_taken(self, payload: int):
        """Where the side operands of a RUN lie, which has begun."""
        config, command = self.config, self._beside.popleft()
        assert command.accepted, "read before the RUN has begun"
        fields, mode, side = command.fields, command.fields["mode"], command.side
        windows, size = config.rows // config.lanes, 8 * config.group_bytes
        element = {0: 32, 1: 16, 2: 8, 3: 32}[mode >> 2 & 3]
        first = fields["offset"] * 8 // element
        # Rows begin at multiples of so many of the narrowest elements.
        unit = config.store_bytes * min(8, config.format.bits)
        most = -(-(size - unit + 32 * config.columns) // size)
        expected = [
            (fields["row_blocks"] * windows, ((1 << 16) * windows - 1).bit_length()),
            *((mode >> at & 1, 1) for at in (13, 14, 15)),
            (mode >> 2 & 3, 2),
            (side["addend_plane"], 16),
        ]
        addend = [side[f"addend_{name}"] for name in ("offset", "words", "pitch", "groups")]
        mask = [side["mask_offset"], *(fields[name] for name in ("words", "pitch", "groups"))]
        wide = 32 if mode >> 14 & 1 else config.format.bits
        for there, (offset, words, pitch, groups), bits in (
            (mode >> 13 & 1, addend, wide),
            (mode >> 15, mask, element),
        ):
            base = (fields["destination"] + offset) % config.tensor_words
            group, begin = divmod(first * bits, size)
            wanted = [
                (
                    base + (windows - 1) * pitch + group,
                    (config.tensor_words + windows * 0xFFFF - 1).bit_length(),
                ),
                (base + words - groups + group, (config.tensor_words - 1).bit_length()),
                (pitch, 16),
                (min(groups - group, most), most.bit_length()),
                (begin // unit, (size // unit - 1).bit_length()),
            ]
            # What there is not may be anything.
            expected += [(value if there else None, bits) for value, bits in wanted]
        same(payload, expected)

    def _move_taken(self, opcode: Opcode, payload: int):
        command, config = self._due[opcode].popleft(), self.config
        fields, bits = command.fields, (config.tensor_words - 1).bit_length()
        if opcode == Opcode.FILL:
            source = fields["source"] | fields["source_high"] << 16
            size = fields["words"] | fields["words_high"] << 16
            names, at = ("target", "address", "count"), (0, 2, 18)
            expected = source << 34 | size << 34 + bits
            indices = fields["indices"] | fields["indices_high"] << 16
            beside = fields["index_words"] | fields["index_words_high"] << 16
            # A word's address, and a number of words, which may be all.
            first = 34 + bits + (bits + 1)
            expected |= (indices & (1 << bits) - 1) << first | beside << first + bits
            settings = fields["target"] == 4
            expected |= settings << first + bits + (bits + 1)
            # Who sets columns looks at no target.
            payload, fields["target"] = payload & ~(3 * settings), fields["target"] & 3
            for name, place in zip(names, at, strict=True):
                expected |= fields[name] << place
            assert payload == expected, fields
        else:
            # All of its fields, as they stand in the header.
            image = command.opcode == Opcode.IMAGE
            header = int.from_bytes(command.packet[2:HEADER_BYTES], "little")
            size = 1 + (IMAGE_BITS if image else ROWS_BITS)
            assert (payload ^ (image | header << 1)) & (1 << size) - 1 == 0
        self._waited(command)
        self.moving[opcode].append(command)

    def _waited(self, command: Command):
        """All that it waits for has been finished."""
        if not self.config.tensor_words or command.opcode == Opcode.IMAGE:
            return
        word = int.from_bytes(command.packet[26:30], "little")
        before = list(self._before(command))
        for number, opcode in enumerate(ENGINES):
            if wait := word >> 5 * number & 31:
                own = [c for c in before if c.engine == opcode and c.good]
                waited = own[: len(own) - (wait - 1)] if wait - 1 < len(own) else []
                assert all(c.released for c in waited), f"{opcode.name} not waited for"
        if wait := word >> 15 & 31:
            own = [c for c in before if c.stores and c.good]
            assert all(c.stored for c in own[: max(0, len(own) - (wait - 1))])

    def _before(self, command: Command):
        for earlier in self.commands:
            if earlier is command:
                return
            yield earlier

    def _free(self, command: Command):
        """The hazard rule: no RUN before `command` still holds a page that it changes."""
        (kind, page), *_ = command.pages.items()
        if kind == "settings":
            moves = [c for c in self._before(command) if c.opcode == Opcode.FILL and c.good]
            assert all(move.released for move in moves), "set beside a FILL"
        if command.opcode in (Opcode.LOAD, Opcode.WRITE):
            moves = [c for c in self._before(command) if c.engine in ENGINES[:2] and c.good]
            assert all(move.released for move in moves), "written beside a mover"
        if kind == "memory":
            assert all(c.stored for c in self._before(command) if c.stores), "written beside rows"
            assert all(c.read for c in self._before(command) if c.memory), (
                "written before it is read"
            )
        for run in self._before(command):
            if run.opcode == Opcode.RUN and run.pages.get(kind) == page:
                assert run.settings_released if kind == "settings" else run.released, (
                    f"{Opcode(command.opcode).name} changed page {page} of {kind} under a RUN"
                )

    async def _watch(self):
        """Both buses, and the pulses for the counters."""
        dut, config = self.dut, self.config
        while True:
            await RisingEdge(dut.clk)
            if int(dut.write__valid.value):
                command = self._due[Opcode.LOAD][0]
                self._free(command)
                target, address, chunk, data = command.writes.popleft()
                if not command.writes:
                    self._due[Opcode.LOAD].popleft()
                kind = chunks(config)[Target(target)]
                got = int(dut.write__data.value) & ((1 << kind.bits) - 1)
                assert (
                    int(dut.write__target.value),
                    int(dut.write__address.value),
                    int(dut.write__chunk.value),
                    got,
                ) == (target, address, chunk, data)
            if int(dut.settings__valid.value):
                command = self._due[Opcode.SETTINGS].popleft()
                self._free(command)
                fields = command.fields
                every = fields["column"] == ALL_COLUMNS
                assert int(dut.settings__all.value) == every
                assert every or int(dut.settings__column.value) == fields["column"]
                assert int(dut.settings__entry.value) == fields["entry"]
                assert int(dut.settings__scale.value) == fields["scale"]
                assert int(dut.settings__exponent.value.to_unsigned()) == fields["exponent"]
                bias = join((fields[f"bias_{i}"] for i in range(6)), 16)
                bias &= (1 << config.accumulator_bits) - 1
                assert int(dut.settings__bias.value.to_unsigned()) == bias
            if config.tensor_words and int(dut.memory__enable.value):
                command = self._due[Opcode.WRITE][0]
                self._free(command)
                address, word = command.writes.popleft()
                bits, enables = (config.tensor_words - 1).bit_length(), len(dut.memory__enable)
                assert int(dut.memory__enable.value) == (1 << enables) - 1
                addresses = join([address] * config.lanes, bits)
                assert int(dut.memory__address.value) == addresses
                assert int(dut.memory__data.value) == word
                if not command.writes:
                    self._due[Opcode.WRITE].popleft()
            self.answered += int(dut.answered.value)
            self.errored += int(dut.errored.value)


def same(payload: int, expected: list[tuple[int | None, int]]):
    """The payload's fields, of so many bits each, are what was expected, where it matters."""
    at = 0
    for value, bits in expected:
        assert value is None or payload >> at & (1 << bits) - 1 == value, (value, at, expected)
        at += bits


def run_in(config, page: int, settings_page: int) -> bytes:
    """A RUN of one tile in the given page of every buffer, and of column settings."""
    return packet_of(
        config,
        Run(
            finish=True,
            relu=False,
            output=OutputFormat.FP32,
            settings_page=settings_page,
            activation_base=page * config.activation_groups,
            activation_stride=0,
            row_blocks=1,
            slot_base=page * config.weight_slots,
            schedule_base=page * config.schedule_records,
            schedule_count=1,
        ),
    )
