"""Orders in which a product can be done: which tiles follow each other, and what they find loaded.

The array holds R rows of activations against C·T columns of weights. A weights' page holds whole
column blocks (a batch of them), or, if K is too long, a part of one; a page of activations holds a
panel of row blocks with all of K, or some parts of one row block. What a step needs and no page
holds goes into the page that was used the longest ago, for the other one may still be read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...hw.config import Accumulation, Config
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Target
from .gradients import DenseRows
from .packing import ColumnBlock, PackedWeights
from .pages import Pages
from .pruning import PrunedWeights
from .steps import PAGES, Page, Phase, Run


@dataclass(frozen=True)
class Product:
    """What is multiplied: activations [row blocks, groups, R, M] by packed weights."""

    config: Config
    x: np.ndarray
    weights: PackedWeights | DenseRows | PrunedWeights
    output: OutputFormat
    pages: Sequence[Page] = PAGES
    """Those that are free first come first."""
    together: int | None = None
    """Row blocks in a panel, at most, if somebody waits for the first rows."""

    @property
    def row_blocks(self) -> int:
        return self.x.shape[0]

    @property
    def groups(self) -> int:
        return self.x.shape[1]

    @property
    def column_blocks(self) -> int:
        return -(-self.weights.shape[1] // self.config.tile_columns)

    def fullest(self) -> np.ndarray:
        """Slots of each group in each column block, [groups, column blocks]."""
        config, counts = self.config, self.weights.counts
        padding = self.column_blocks * config.tile_columns - counts.shape[1]
        padded = np.pad(counts, ((0, 0), (0, padding))).astype(np.int64)
        return config.interleave * padded.reshape(len(counts), -1, config.tile_columns).max(axis=2)

    def tile_cycles(self, slots: int) -> int:
        """How long a tile keeps the array, or the way out if that is slower."""
        config = self.config
        row = max(config.columns_per_epilogue, config.row_beats(self.output))
        return max(slots, config.tile_rows * row)


def parts(product: Product) -> list[range]:
    """K in as few parts as have their slots, records and activations in a page, of one length."""
    config, groups = product.config, product.groups
    before = np.pad(np.cumsum(product.fullest(), axis=0), ((1, 0), (0, 0)))
    most = min(config.activation_groups, config.schedule_records)
    for count in range(-(-groups // most), groups + 1):
        length = -(-groups // count)
        cut = [range(k, min(k + length, groups)) for k in range(0, groups, length)]
        if all((before[p.stop] - before[p.start]).max() <= config.weight_slots for p in cut):
            return cut
    raise AssertionError("a page holds at least the slots of a group")


def orders(product: Product) -> Iterator[Callable[[], list[Phase]]]:
    """The orders that may be the best one for a product; each gives its phases when called."""
    cut = parts(product)
    if len(cut) == 1:
        yield from _whole(product)
    else:
        yield from _split(product, cut)


class _Pages(Pages):
    """Pages that a product's rows and column blocks come into."""

    def __init__(self, product: Product):
        super().__init__(product.config, product.pages)
        self.product = product

    def activations(self, phase: Phase, page: Page, key: object, words: np.ndarray) -> None:
        """Fill a page with words [words, R, M]."""
        again = self.again(page, key)
        self.load(phase, page, {Target.ACTIVATIONS: words}, again)

    def weights(self, phase: Phase, page: Page, key: object, blocks: list[ColumnBlock]) -> None:
        """Fill a page with column blocks, but for records and indices that are there."""
        again = self.again(page, key)
        records = np.concatenate([block.records for block in blocks])
        self.load(phase, page, {Target.SCHEDULE: records}, again)
        indices = np.concatenate([block.indices for block in blocks])
        values = np.concatenate([block.values for block in blocks])
        # Weights that lie apart come apart.
        made = self.product.weights
        step = made.slots if isinstance(made, PrunedWeights) else max(1, len(values))
        for first in range(0, max(1, len(values)), step):
            part = slice(first, first + step)
            slots = {Target.INDICES: indices[part], Target.VALUES: values[part]}
            self.load(phase, page, slots, again, first)

    def run(self, rows: range, column: int, block: ColumnBlock, at: dict, finish=True) -> Run:
        """A RUN of `rows` that finds its activations, weights and records `at` those places: pages
        with words in them."""
        config = self.config
        (activations, group, stride), (weights, slot, record) = at["rows"], at["weights"]
        fields = {
            "activation_base": activations.number * config.activation_groups + group,
            "activation_stride": stride,
            # Without weights no slot is read: stay in the page, it may be full.
            "slot_base": weights.number * config.weight_slots + (slot if len(block.values) else 0),
            "schedule_base": weights.number * config.schedule_records + record,
            "schedule_count": len(block.records),
            "row_blocks": len(rows),
        }
        passed = int((block.records >> config.count_bits).sum()) + len(block.records)
        reads = {
            Target.ACTIVATIONS: (fields["activation_base"], passed),
            Target.SCHEDULE: (fields["schedule_base"], len(block.records)),
            Target.VALUES: (fields["slot_base"], len(block.values)),
        }
        ranges = {target: range(first, first + count) for target, (first, count) in reads.items()}
        slots = max(len(block.values), config.interleave)
        cycles = len(rows) * (self.product.tile_cycles(slots) if finish else slots)
        return Run(rows, column, (activations, weights), fields, ranges, finish, cycles)


def _ranges(count: int, most: int) -> list[range]:
    return [range(start, min(start + most, count)) for start in range(0, count, most)]


def _there_and_back(turn: int, items: Sequence) -> Sequence:
    """Every other time backwards, so that what was last is the first again."""
    return items[::-1] if turn % 2 else items


def _whole(product: Product) -> Iterator[Callable[[], list[Phase]]]:
    """All of K in a page: batches of column blocks meet panels of row blocks."""
    config = product.config
    most = config.activation_groups // product.groups
    panels = _ranges(product.row_blocks, min(product.together or most, most))
    batches = list(_batches(product))

    def rows_stay(together: int) -> list[Phase]:
        pages = _Pages(product)
        for turn, first in enumerate(range(0, len(panels), together)):
            for batch in _there_and_back(turn, range(len(batches))):
                _meet(pages, batch, batches[batch], panels[first : first + together])
        return pages.phases

    def weights_stay() -> list[Phase]:
        pages = _Pages(product)
        for batch, blocks in enumerate(batches):
            for panel in _there_and_back(batch, panels):
                _meet(pages, batch, blocks, [panel])
        return pages.phases

    yield lambda: rows_stay(2)
    if len(panels) > 2:
        yield lambda: rows_stay(1)
        yield weights_stay


def _meet(pages: _Pages, batch: int, blocks: list[tuple[int, ColumnBlock]], panels) -> None:
    """A phase: a batch with one panel or two."""
    product, groups = pages.product, pages.product.groups
    phase = Phase()
    (weights,), (fresh,) = pages.place("weights", [batch])
    places, new = pages.place("activations", panels)
    for panel, page, load in zip(panels, places, new, strict=True):
        if load:
            words = product.x[panel.start : panel.stop].reshape(-1, *product.x.shape[2:])
            pages.activations(phase, page, panel, words)
    if fresh:
        pages.weights(phase, weights, batch, [block for _, block in blocks])
    slot = record = 0
    for column, block in blocks:
        for panel, page in zip(panels, places, strict=True):
            at = {"rows": (page, 0, groups), "weights": (weights, slot, record)}
            phase.runs.append(pages.run(panel, column, block, at))
        slot += len(block.values)
        record += len(block.records)
    pages.phases.append(phase)


def _batches(product: Product) -> Iterator[list[tuple[int, ColumnBlock]]]:
    """Column blocks, as many at a time as fit into a page."""
    config = product.config
    batch, slots, records = [], 0, 0
    for number, block in enumerate(product.weights.blocks(config.columns, config.interleave)):
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


def _split(product: Product, cut: list[range]) -> Iterator[Callable[[], list[Phase]]]:
    """K in parts: one tile at a time, its sums waiting in the array from part to part.

    A page of activations has all of K for a panel of row blocks, or some parts for one.
    """
    config = product.config
    pieces = [
        list(product.weights.groups(p.start, p.stop).blocks(config.columns, config.interleave))
        for p in cut
    ]
    shared = _ranges(len(cut), config.activation_groups // len(cut[0]))
    panel = config.activation_groups // product.groups if len(shared) == 1 else 1

    def tiles(rows_together: int) -> Iterator[tuple[int, int]]:
        """Some rows stay for all columns."""
        for rows in _ranges(product.row_blocks, rows_together):
            for column in range(product.column_blocks):
                yield from ((row, column) for row in _there_and_back(column, rows))

    def phases(rows_together: int) -> list[Phase]:
        pages = _Pages(product)
        for turn, (row, column) in enumerate(tiles(rows_together)):
            _tile(pages, row, column, _TileOf(cut, pieces, shared, panel), turn)
        return pages.phases

    for rows in sorted(
        {min(n, product.row_blocks) for n in (panel, 2 * panel, product.row_blocks)}
    ):
        yield lambda rows=rows: phases(rows)


@dataclass(frozen=True)
class _TileOf:
    """How a product's K is cut."""

    parts: list[range]
    """Groups of each part."""
    pieces: list[list[ColumnBlock]]
    """Weights by part and column block."""
    shared: list[range]
    """Parts whose activations share a page."""
    panel: int
    """Row blocks that share it."""


def _tile(pages: _Pages, row: int, column: int, cut: _TileOf, turn: int) -> None:
    """The phases of one tile. Exact sums take the parts in any order; others have theirs."""
    product = pages.product
    back = turn if product.config.accumulation is Accumulation.EXACT else 0
    sequence = _there_and_back(back, range(len(cut.parts)))
    for part in sequence:
        phase = Phase()
        chunk = next(chunk for chunk in cut.shared if part in chunk)
        groups = range(cut.parts[chunk[0]].start, cut.parts[chunk[-1]].stop)
        first = row - row % cut.panel
        (weights,), (fresh,) = pages.place("weights", [(column, part)])
        (page,), (new,) = pages.place("activations", [(first, chunk)])
        if new:
            words = product.x[first : first + cut.panel, groups.start : groups.stop]
            words = words.reshape(-1, *product.x.shape[2:])
            pages.activations(phase, page, (first, chunk), words)
        block = cut.pieces[part][column]
        if fresh:
            pages.weights(phase, weights, (column, part), [block])
        group = (row - first) * len(groups) + cut.parts[part].start - groups.start
        at = {"rows": (page, group, 0), "weights": (weights, 0, 0)}
        finish = part == sequence[-1]
        phase.runs.append(pages.run(range(row, row + 1), column, block, at, finish))
        pages.phases.append(phase)
