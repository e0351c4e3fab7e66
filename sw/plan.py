"""The order of one product's commands: tiles, pages, and loads that hide behind the work.

The array holds R rows of activations against C·T columns of weights; each buffer has two pages.
A product is a list of phases, each with what it must find loaded and its RUNs. The device executes
in order, and keeps a LOAD waiting while a RUN holds its page; so a load may move ahead of its
phase to any place where no phase before its own still needs the page. There it is spread over
RUNs that take as long as it does.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..hw.commands import OutputFormat, Target
from ..hw.config import Config
from ..hw.layouts import chunks
from . import protocol
from .packing import ColumnBlock, PackedWeights

HEADER_CYCLES = 20
"""About what the device takes for a command besides its payload."""

PIECE = 256
"""Words that one LOAD brings at most (of activations: about), so that loads can be spread."""


@dataclass(frozen=True)
class Settings:
    """Bias, scale and exponent of every output channel, as the epilogue takes them."""

    bias: list[int]
    scale: list[int]
    exponent: list[int]

    @property
    def uniform(self) -> bool:
        return all(len(set(v)) == 1 for v in (self.bias, self.scale, self.exponent))


@dataclass(frozen=True)
class Page:
    """One of the two pages of a buffer; weights are values, indices and records together."""

    buffer: str
    number: int


@dataclass
class Phase:
    """RUNs that find all they need in the pages that they use."""

    uses: set[Page]
    loads: list[tuple[Page, bytes]] = field(default_factory=list)
    runs: list["Run"] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A RUN with the CHANNELs before it, how long the array works on it, and where its outputs go
    (rows and columns; None if the sums stay)."""

    packets: list[bytes]
    cycles: int
    place: tuple[slice, slice] | None


@dataclass(frozen=True)
class _Load:
    """A LOAD that phase `before` needs, possible once phase `after` has been sent."""

    packet: bytes
    after: int
    before: int


class Plan:
    """The commands for ``x @ weights`` with x [B, K] and weights [K, C] as raw elements.

    Nothing is padded along K beyond its last group; the last row and column blocks run whole.
    """

    def __init__(
        self,
        config: Config,
        x: np.ndarray,
        weights: PackedWeights,
        channels: Settings,
        relu: bool,
        output: OutputFormat,
    ):
        self.config, self.weights, self.channels = config, weights, channels
        self.relu, self.output = relu, output
        groups = weights.counts.shape[0]
        self.row_blocks = -(-x.shape[0] // config.rows)
        self.column_blocks = -(-weights.shape[1] // config.tile_columns)
        self.padded_columns = self.column_blocks * config.tile_columns
        padded = np.zeros((self.row_blocks * config.rows, groups * config.group), x.dtype)
        padded[: x.shape[0], : x.shape[1]] = x
        self.x = padded.reshape(self.row_blocks, config.rows, groups, config.group)
        self._channel_page = 1

        # K is split where a part's activations, slots or records would not fit into a page.
        slots = config.weight_slots // (config.interleave * max(1, weights.most()))
        part = min(groups, config.activation_groups, config.schedule_records, slots)
        self.parts = [(k, min(k + part, groups)) for k in range(0, groups, part)]

    def packets(self) -> tuple[list[bytes], list[tuple[slice, slice] | None]]:
        """Command packets, and for each the rows and columns of its response's outputs."""
        packets: list[bytes] = []
        places: list[tuple[slice, slice] | None] = []

        def send(packet: bytes, place=None) -> None:
            packets.append(protocol.tagged(packet, len(packets)))
            places.append(place)

        if self.channels.uniform:
            for page in range(2):
                for context in range(self.config.interleave):
                    send(self._channel(None, page, context, 0))
        phases = list(self._whole_k() if len(self.parts) == 1 else self._split_k())
        loads = self._loads(phases)
        for number, phase in enumerate(phases):
            while loads and loads[0].before == number:
                send(loads.popleft().packet)
            if number == 0:
                # Nothing runs yet, so what the first phase cannot hide costs the least here.
                for _ in range(self._excess(loads, phase.runs)):
                    send(loads.popleft().packet)
            credit = 0
            for run in phase.runs:
                *channels, packet = run.packets
                for channel in channels:
                    send(channel)
                send(packet, run.place)
                # While the array works on this, as much can be loaded as takes that long.
                credit += run.cycles
                while loads and loads[0].after < number and credit >= self._cost(loads[0]):
                    credit -= self._cost(loads[0])
                    send(loads.popleft().packet)
                if not loads or loads[0].after >= number:
                    credit = 0
        return packets, places

    def _loads(self, phases: list[Phase]) -> deque[_Load]:
        """All loads in the order of their phases, with the first place where each is possible."""
        last_use: dict[Page, int] = {}
        loads: deque[_Load] = deque()
        for number, phase in enumerate(phases):
            for page, packet in phase.loads:
                loads.append(_Load(packet, last_use.get(page, -1), number))
            last_use |= dict.fromkeys(phase.uses, number)
        return loads

    def _cost(self, load: _Load) -> int:
        """Cycles that a load occupies the command stream: it is dealt a chunk a cycle."""
        _, target, _, words = np.frombuffer(load.packet, "<u2", 4)
        return int(words) * chunks(self.config)[Target(target)].per_word + HEADER_CYCLES

    def _excess(self, loads: deque[_Load], runs: list[Run]) -> int:
        """How many of the loads, all possible at once, the next phase's RUNs are too short for."""
        costs = [self._cost(load) for load in loads if load.before == 1 and load.after < 0]
        room = sum(run.cycles for run in runs)
        return next(n for n in range(len(costs) + 1) if sum(costs[n:]) <= room)

    def _whole_k(self) -> Iterator[Phase]:
        """All of K in a page: each batch of column blocks meets every panel of rows."""
        config = self.config
        groups = self.parts[0][1]
        panel = config.activation_groups // groups
        panels = [(r, min(r + panel, self.row_blocks)) for r in range(0, self.row_blocks, panel)]
        batches = list(self._batches())
        together = [panels] if len(panels) <= 2 else [[p] for p in panels]
        held: dict[Page, object] = {}
        turn = 0
        for chosen in together:
            rows = {p: Page("activations", panels.index(p) % 2) for p in chosen}
            for number, batch in enumerate(batches):
                weights, turn = self._weights_page(held, number, turn)
                phase = Phase({weights, *rows.values()})
                for p, page in rows.items():
                    if held.get(page) != p:
                        held[page] = p
                        self._load_activations(phase, page, p, 0, groups)
                if held.get(weights) != number:
                    held[weights] = number
                    self._load_weights(phase, weights, [block for _, block in batch])
                slot, record = 0, 0
                for column, block in batch:
                    channels, channel_page = self._channels(column)
                    for p, page in rows.items():
                        fields = {
                            "activation_base": page.number * config.activation_groups,
                            "activation_stride": groups,
                            # Without weights no slot is read: stay in the page, it may be full.
                            "slot_base": weights.number * config.weight_slots
                            + (slot if len(block.values) else 0),
                            "schedule_base": weights.number * config.schedule_records + record,
                            "channel_page": channel_page,
                        }
                        phase.runs.append(self._run(channels, p, column, block, fields))
                        channels = []
                    slot += len(block.values)
                    record += len(block.records)
                yield phase

    def _split_k(self) -> Iterator[Phase]:
        """K in parts: one tile at a time, its sums waiting in the array from part to part.

        A block of rows stays for all its tiles if a page can hold all of K.
        """
        config = self.config
        groups = self.parts[-1][1]
        stays = groups <= config.activation_groups
        cut = [self.weights.groups(start, stop) for start, stop in self.parts]
        blocks = [list(part.blocks(config.columns, config.interleave)) for part in cut]
        held: dict[Page, object] = {}
        turn = activation_turn = 0
        for row in range(self.row_blocks):
            panel = (row, row + 1)
            for column in range(self.column_blocks):
                channels, channel_page = self._channels(column)
                for i, (start, stop) in enumerate(self.parts):
                    block = blocks[i][column]
                    weights, turn = self._weights_page(held, (column, i), turn)
                    wanted = (row, 0, groups) if stays else (row, start, stop)
                    page = Page("activations", activation_turn)
                    if held.get(page) != wanted:
                        activation_turn ^= 1
                        page = Page("activations", activation_turn)
                    phase = Phase({weights, page})
                    if held.get(page) != wanted:
                        held[page] = wanted
                        self._load_activations(phase, page, panel, *wanted[1:])
                    if held.get(weights) != (column, i):
                        held[weights] = (column, i)
                        self._load_weights(phase, weights, [block])
                    fields = {
                        "activation_base": page.number * config.activation_groups
                        + (start if stays else 0),
                        "activation_stride": 0,
                        "slot_base": weights.number * config.weight_slots,
                        "schedule_base": weights.number * config.schedule_records,
                        "channel_page": channel_page,
                    }
                    finish = i == len(self.parts) - 1
                    phase.runs.append(self._run(channels, panel, column, block, fields, finish))
                    channels = []
                    yield phase

    def _weights_page(self, held: dict[Page, object], wanted: object, turn: int):
        """The page that holds the wanted weights or is to be filled with them, and whose turn it
        is then."""
        for number in range(2):
            page = Page("weights", number)
            if held.get(page) == wanted:
                return page, turn
        return Page("weights", turn), 1 - turn

    def _batches(self) -> Iterator[list[tuple[int, ColumnBlock]]]:
        """Column blocks, as many at a time as fit into a page."""
        config = self.config
        batch, slots, records = [], 0, 0
        for number, block in enumerate(self.weights.blocks(config.columns, config.interleave)):
            if batch and (
                slots + len(block.values) > config.weight_slots
                or records + len(block.records) > config.schedule_records
            ):
                yield batch
                batch, slots, records = [], 0, 0
            batch.append((number, block))
            slots += len(block.values)
            records += len(block.records)
        yield batch

    def _load_activations(self, phase: Phase, page: Page, panel, start: int, stop: int) -> None:
        """In pieces of whole blocks of rows, so that the loads can be spread."""
        config = self.config
        address = page.number * config.activation_groups
        step = -(-PIECE // (stop - start))
        for row in range(*panel, step):
            data = self.x[row : min(row + step, panel[1]), :, start:stop]
            payload = protocol.activations_payload(config, data)
            words = data.shape[0] * data.shape[2]
            packet = protocol.load(config, Target.ACTIVATIONS, address, words, payload)
            phase.loads.append((page, packet))
            address += words

    def _load_weights(self, phase: Phase, page: Page, blocks: list[ColumnBlock]) -> None:
        config = self.config
        slot = page.number * config.weight_slots
        record = page.number * config.schedule_records
        records = np.concatenate([block.records for block in blocks])
        values = np.concatenate([block.values for block in blocks])
        indices = np.concatenate([block.indices for block in blocks])
        elements = partial(protocol.elements_payload, config)
        pieces = [(Target.SCHEDULE, record, records, lambda part: part.tobytes())]
        for start in range(0, len(values), PIECE):
            part = slice(start, start + PIECE)
            pieces += [
                (Target.INDICES, slot + start, indices[part], protocol.indices_payload),
                (Target.VALUES, slot + start, values[part], elements),
            ]
        for target, address, part, payload in pieces:
            packet = protocol.load(config, target, address, len(part), payload(part))
            phase.loads.append((page, packet))

    def _channels(self, column: int) -> tuple[list[bytes], int]:
        """A column block's settings if they differ at all, and their page."""
        if self.channels.uniform:
            return [], 0
        self._channel_page ^= 1
        config = self.config
        packets = []
        for context in range(config.interleave):
            for c in range(config.columns):
                output = column * config.tile_columns + context * config.columns + c
                if output < self.weights.shape[1]:
                    packets.append(self._channel(c, self._channel_page, context, output))
        return packets, self._channel_page

    def _channel(self, column: int | None, page: int, context: int, output: int) -> bytes:
        settings, config = self.channels, self.config
        return protocol.channel(
            config,
            column,
            page * config.interleave + context,
            settings.scale[output],
            settings.exponent[output],
            settings.bias[output],
        )

    def _run(self, channels, panel, column, block, fields, finish: bool = True) -> Run:
        config = self.config
        place = None
        if finish:
            place = (
                slice(panel[0] * config.rows, panel[1] * config.rows),
                slice(column * config.tile_columns, (column + 1) * config.tile_columns),
            )
        packet = protocol.run(
            config,
            finish=finish,
            relu=self.relu,
            output=self.output,
            row_blocks=panel[1] - panel[0],
            schedule_count=len(block.records),
            **fields,
        )
        cycles = (panel[1] - panel[0]) * max(len(block.values), config.interleave)
        return Run([*channels, packet], cycles, place)
