"""Matrix products of any shape on an array of any shape: tiling, page planning, streaming.

The array holds R rows of activations against C·T columns of weights; the buffers have two pages
each. While one page is worked on, the other is filled: the device orders the two by itself (a
LOAD waits for its page), so the driver only has to alternate.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hw.commands import Flag, OutputFormat, Target
from hw.config import Config

from . import protocol
from .device import Device
from .errors import DeviceError, FormatError
from .packing import ColumnBlock, PackedWeights, pack, to_raw


@dataclass
class Stats:
    """What the device counted during one product, and what the product was."""

    shape: tuple[int, int, int]
    """B, K, C."""
    useful_macs: int
    """Multiplications by a kept weight, padding not counted."""
    array: int
    """Processing elements."""
    counters: dict[str, int] = field(default_factory=dict)
    flags: set[Flag] = field(default_factory=set)

    @property
    def cycles(self) -> int:
        """From the first issue to the last output, by the device's counter."""
        return self.counters["cycles"]

    @property
    def utilisation(self) -> float:
        """Useful multiplications for each multiplier and cycle, 0 to 1."""
        return self.useful_macs / (self.array * self.cycles) if self.cycles else 0.0

    @property
    def stalls(self) -> dict[str, int]:
        return {k[6:]: v for k, v in self.counters.items() if k.startswith("stall_")}


@dataclass(frozen=True)
class Settings:
    """Bias, scale and exponent of every output channel, as the epilogue takes them."""

    bias: list[int]
    scale: list[int]
    exponent: list[int]

    @property
    def uniform(self) -> bool:
        return all(len(set(v)) == 1 for v in (self.bias, self.scale, self.exponent))


def settings(config: Config, channels: int, bias=None, scale=None) -> Settings:
    """Real bias (added to the sum) and scale (then multiplied) as integers.

    The scale keeps 16 significant bits; a bias is rounded to the sum's unit. Raises
    `FormatError` for a wrong length, a negative scale, or a bias that the sum cannot hold.
    """

    def spread(values, default: float, name: str) -> np.ndarray:
        values = np.asarray(default if values is None else values, np.float64)
        if values.ndim > 1 or (values.ndim == 1 and len(values) != channels):
            raise FormatError(f"{name}: one number or {channels}, not shape {values.shape}")
        if not np.isfinite(values).all():
            raise FormatError(f"{name} must be finite")
        return np.broadcast_to(values, channels)

    unit = config.format.product_unit_log2
    limit = 1 << (config.accumulator_bits - 1)
    biases, scales, exponents = [], [], []
    for offset, factor in zip(spread(bias, 0.0, "bias"), spread(scale, 1.0, "scale"), strict=True):
        integer = round(math.ldexp(offset, -unit)) if offset else 0
        if not -limit <= integer < limit:
            raise FormatError(f"a bias of {offset} does not fit into the accumulator")
        if factor < 0:
            raise FormatError(f"a scale cannot be negative ({factor}); negate the weights")
        mantissa, exponent = math.frexp(factor)
        multiplier = round(mantissa * (1 << 16))
        if multiplier == 1 << 16:
            multiplier, exponent = 1 << 15, exponent + 1
        biases.append(integer)
        scales.append(multiplier)
        exponents.append(exponent - 16 + unit)
    return Settings(biases, scales, exponents)


def matmul(
    device: Device,
    x: np.ndarray,
    weights: PackedWeights | np.ndarray,
    *,
    bias=None,
    scale=None,
    relu: bool = False,
    output: OutputFormat = OutputFormat.FP32,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, Stats]:
    """``round(relu?((x @ weights + bias) * scale))`` for x [B, K], weights [K, C].

    `x` is floats (rounded to the device's format) or raw elements; a plain array of weights is
    run dense. Returns raw outputs [B, C] (uint32, uint16 or uint8 by `output`) and `Stats`.
    Nothing is padded along K beyond its last group; the last row and column blocks run whole.

    Raises `FormatError` for arrays that do not fit, `DeviceError` if the device refuses.
    """
    config = device.config
    if not isinstance(weights, PackedWeights):
        weights = pack(weights, config.format, config.group, config.group, config.group)
    check_fits(weights, config)
    x = to_raw(x, config.format)
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] != weights.shape[0]:
        raise FormatError(
            f"activations must be [B, {weights.shape[0]}] to go with weights "
            f"{list(weights.shape)}, not {list(x.shape)}"
        )
    plan = Plan(config, x, weights, settings(config, weights.shape[1], bias, scale), relu, output)
    packets, places = plan.packets()

    device.clear()
    progress = None
    if on_progress is not None:
        progress = lambda count: on_progress(count / len(packets))  # noqa: E731
    answers = device.transport.exchange(packets, progress)
    result = np.zeros((plan.row_blocks * config.rows, plan.padded_columns), f"u{output.bytes}")
    for packet, place in zip(answers, places, strict=True):
        response = protocol.response(config, packet).check()
        if place is not None:
            rows, columns = place
            tiles = response.outputs(config, output)
            result[rows, columns] = tiles.reshape(-1, config.tile_columns)

    stats = Stats(
        shape=(x.shape[0], x.shape[1], weights.shape[1]),
        useful_macs=len(weights.values) * x.shape[0],
        array=config.macs_per_cycle,
        counters=device.counters(),
        flags=device.flags(),
    )
    if stats.flags & {Flag.NONFINITE_ACTIVATION, Flag.NONFINITE_WEIGHT}:
        raise DeviceError("the device saw an infinity or NaN that the host did not send")
    return result[: x.shape[0], : weights.shape[1]], stats


def check_fits(weights: PackedWeights, config: Config) -> None:
    """Raise `FormatError` unless `config` can multiply by `weights`."""
    if weights.format != config.format:
        raise FormatError(
            f"the weights are {weights.format.name}, the device {config.name!r} multiplies "
            f"{config.format.name}; pack them again with that format"
        )
    if weights.group != config.group:
        raise FormatError(
            f"the weights are in groups of {weights.group}, the device {config.name!r} has "
            f"groups of {config.group}; pack them again with that group"
        )


class Plan:
    """The commands for one product, and where each response's rows go."""

    def __init__(self, config, x, weights, channels: Settings, relu, output):
        self.config, self.weights, self.channels = config, weights, channels
        self.relu, self.output = relu, output
        groups = weights.counts.shape[0]
        self.row_blocks = -(-x.shape[0] // config.rows)
        self.column_blocks = -(-weights.shape[1] // config.tile_columns)
        self.padded_columns = self.column_blocks * config.tile_columns
        rows = self.row_blocks * config.rows
        padded = np.zeros((rows, groups * config.group), x.dtype)
        padded[: x.shape[0], : x.shape[1]] = x
        self.x = padded.reshape(self.row_blocks, config.rows, groups, config.group)
        self._packets: list[bytes] = []
        self._places: list[tuple[slice, slice] | None] = []
        self._channel_page = 1

        # K is split where a part's activations, slots or records would not fit into a page.
        slots = config.weight_slots // (config.interleave * max(1, weights.most()))
        part = min(groups, config.activation_groups, config.schedule_records, slots)
        self.parts = [(k, min(k + part, groups)) for k in range(0, groups, part)]

    def packets(self) -> tuple[list[bytes], list[tuple[slice, slice] | None]]:
        """Command packets, and for each the rows and columns of its response's outputs."""
        if self.channels.uniform:
            for page in range(2):
                for context in range(self.config.interleave):
                    self._channel(None, page, context, 0)
        if len(self.parts) == 1:
            self._whole_k()
        else:
            self._split_k()
        return self._packets, self._places

    def _whole_k(self) -> None:
        """All of K in a page: each batch of column blocks meets every panel of rows."""
        config = self.config
        groups = self.parts[0][1]
        panel = config.activation_groups // groups
        panels = [(r, min(r + panel, self.row_blocks)) for r in range(0, self.row_blocks, panel)]
        batches = list(self._batches(self.weights))
        resident = len(panels) <= 2
        chunks = [panels] if resident else [[p] for p in panels]
        pages = {p: i % 2 for i, p in enumerate(panels)}
        for p in chunks[0]:
            self._load_activations(p, 0, groups, pages[p])
        loaded: list[int | None] = [None, None]
        turn = 0
        for i, chunk in enumerate(chunks):
            for number, batch in enumerate(batches):
                if number in loaded:
                    page = loaded.index(number)
                else:
                    page, turn = turn, 1 - turn
                    loaded[page] = number
                    self._load_weights([block for _, block in batch], page)
                slot, record = page * config.weight_slots, page * config.schedule_records
                for column, block in batch:
                    # Without weights no slot is read: stay in the page, which may be full.
                    slot_base = slot if len(block.values) else page * config.weight_slots
                    channel_page = self._channels(column)
                    for p in chunk:
                        self._run(
                            p,
                            column,
                            block,
                            pages[p],
                            groups,
                            slot_base,
                            record,
                            channel_page,
                            True,
                        )
                    slot += len(block.values)
                    record += len(block.records)
                if number == 0 and i + 1 < len(chunks):
                    for p in chunks[i + 1]:
                        self._load_activations(p, 0, groups, pages[p])

    def _split_k(self) -> None:
        """K in parts: one tile at a time, its sums waiting in the array from part to part."""
        config = self.config
        cut = [self.weights.groups(start, stop) for start, stop in self.parts]
        columns = [list(part.blocks(config.columns, config.interleave)) for part in cut]
        turn = 0
        weights: dict[int, tuple] = {}
        for column in range(self.column_blocks):
            channel_page = self._channels(column)
            for row in range(self.row_blocks):
                for i, (start, stop) in enumerate(self.parts):
                    page, turn = turn, 1 - turn
                    block = columns[i][column]
                    self._load_activations((row, row + 1), start, stop, page)
                    if weights.get(page) != (column, i):
                        self._load_weights([block], page)
                        weights[page] = (column, i)
                    self._run(
                        (row, row + 1),
                        column,
                        block,
                        page,
                        stop - start,
                        page * config.weight_slots,
                        page * config.schedule_records,
                        channel_page,
                        i == len(self.parts) - 1,
                    )

    def _batches(self, weights: PackedWeights) -> Iterator[list[tuple[int, ColumnBlock]]]:
        """Column blocks, as many at a time as fit into a page."""
        config = self.config
        batch, slots, records = [], 0, 0
        for number, block in enumerate(weights.blocks(config.columns, config.interleave)):
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

    def _load_activations(self, panel, start: int, stop: int, page: int) -> None:
        config = self.config
        data = self.x[panel[0] : panel[1], :, start:stop]
        words = data.shape[0] * data.shape[2]
        self._send(
            protocol.load(
                config,
                Target.ACTIVATIONS,
                page * config.activation_groups,
                words,
                protocol.activations_payload(config, data),
            )
        )

    def _load_weights(self, blocks: list[ColumnBlock], page: int) -> None:
        config = self.config
        records = np.concatenate([block.records for block in blocks])
        values = np.concatenate([block.values for block in blocks])
        indices = np.concatenate([block.indices for block in blocks])
        slot = page * config.weight_slots
        for target, address, words, payload in (
            (Target.SCHEDULE, page * config.schedule_records, len(records), records.tobytes()),
            (Target.INDICES, slot, len(indices), protocol.indices_payload(indices)),
            (Target.VALUES, slot, len(values), values.tobytes()),
        ):
            if words:
                self._send(protocol.load(config, target, address, words, payload))

    def _channels(self, column: int) -> int:
        """Send a column block's settings if they differ at all; returns their page."""
        if self.channels.uniform:
            return 0
        self._channel_page ^= 1
        config = self.config
        for context in range(config.interleave):
            for c in range(config.columns):
                output = column * config.tile_columns + context * config.columns + c
                if output < self.weights.shape[1]:
                    self._channel(c, self._channel_page, context, output)
        return self._channel_page

    def _channel(self, column: int | None, page: int, context: int, output: int) -> None:
        settings, config = self.channels, self.config
        self._send(
            protocol.channel(
                config,
                column,
                page * config.interleave + context,
                settings.scale[output],
                settings.exponent[output],
                settings.bias[output],
            )
        )

    def _run(self, panel, column, block, page, groups, slot, record, channel_page, finish) -> None:
        config = self.config
        place = None
        if finish:
            place = (
                slice(panel[0] * config.rows, panel[1] * config.rows),
                slice(column * config.tile_columns, (column + 1) * config.tile_columns),
            )
        self._send(
            protocol.run(
                config,
                finish=finish,
                relu=self.relu,
                output=self.output,
                channel_page=channel_page,
                activation_base=page * config.activation_groups,
                activation_stride=groups,
                row_blocks=panel[1] - panel[0],
                slot_base=slot,
                schedule_base=record,
                schedule_count=len(block.records),
            ),
            place,
        )

    def _send(self, packet: bytes, place=None) -> None:
        self._packets.append(packet)
        self._places.append(place)
