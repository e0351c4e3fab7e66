"""Gradients of kept weights alone: of every M only those N that a matrix keeps.

``dW[group, n, c] = sum over rows of X[row, group * M + place[group, n, c]] * dY[row, c]``: row r of
the array has group r of X's rows, one row after another, and each element holds the place of its
weight, one of N after the other. So a tile takes N passes over all rows, N / M of what a dense
gradient takes.

The elements take the places of a pass while the pass before is at work. So the places of a tile's
first pass are read by the tile before it, and all places by turns from two areas of a page, behind
the rows of dY; the first tile of all is preceded by a RUN of R slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.descriptors import Dense, Fill, Rows
from ...hw.isa.maps import INDEX_BITS
from ..errors import FormatError
from .gradients import DenseRows, PartOfWalk
from .packing import ColumnBlock
from .pages import Pages
from .pruning import PrunedWeights
from .steps import Load, Page, Phase, Run
from .tensors import Tensor
from .walks import consecutive


class Grouped(PartOfWalk):
    """Groups of a walk's rows as rows of activations, of some of the rows."""

    @property
    def words(self) -> int:
        """Of a block of R groups: one for each row, in whole windows."""
        lanes = self.walk.config.lanes
        return -(-self.count // lanes) * lanes

    def fills(self, load: Load) -> list[Rows]:
        """What brings a load, whose words are known by their place among all blocks' words."""
        pieces = consecutive(load, self.words)
        return [self._rows(*divmod(code, self.words), *piece) for code, *piece in pieces]

    def _rows(self, block: int, pixel: int, count: int, address: int) -> Rows:
        each = self.walk.config.rows
        there, groups = min(count, self.count - pixel), min(each, self.walk.groups - block * each)
        numbers = self.first + pixel + np.arange(there)
        made = self.walk.from_pixels(numbers, block * each, groups, address)
        return replace(made, grouped=1, groups=count, rows=groups, missing=count - there)


@dataclass(frozen=True)
class KeptRows:
    """Rows of a tensor as dense weights, and the matrix whose places the elements hold.

    It stands where `PackedWeights` do; a place's slot is known by its place among all column
    blocks' slots.
    """

    rows: DenseRows
    kept: PrunedWeights

    @property
    def config(self) -> Config:
        return self.rows.config

    @property
    def tensor(self) -> Tensor:
        return self.rows.tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.shape

    @property
    def counts(self) -> np.ndarray:
        """Of the rows."""
        return self.rows.counts

    @property
    def area(self) -> int:
        """Slots that a tile's places take in a page."""
        return area_of(self.config, self.kept.kept)

    def tile(self, block: int, column: int) -> tuple[int, range]:
        """Slots that are brought for a tile's places, by their numbers; and how many of them come
        before."""
        config, n = self.config, self.kept.kept
        first = block * config.rows * n
        before = first % slots_of_word(config)
        slots = min(config.rows * n, self.kept.slots - first) + before
        code = column * self.kept.slots + first - before
        return before, range(code, code + slots)

    def fills(self, load: Load) -> list[Dense] | list[Fill]:
        """What brings a load of values, or of places."""
        if load.target is Target.VALUES:
            return self.rows.fills(load)
        made, (across, wide) = [], parts_of(self.config)
        for code, count, address in consecutive(load, self.kept.slots):
            column, slot = divmod(code, self.kept.slots)
            source = self.kept.parts[0] + column * self.kept.pitch + self.kept.words
            made.append(
                Fill(
                    target=Target.INDICES,
                    address=address,
                    count=count,
                    source=source + slot * across // wide,
                    words=-(-count * across // wide),
                )
            )
        return made


def parts_of(config: Config) -> tuple[int, int]:
    """Parts of M columns that a slot has; and how many of them a word has the places of."""
    wide = config.lanes * config.format.bits // INDEX_BITS
    return config.columns // config.group, wide


def slots_of_word(config: Config) -> int:
    """Slots whose places come in one word: so many, less one, may come before a tile's."""
    across, wide = parts_of(config)
    return max(1, wide // across)


def area_of(config: Config, kept: int) -> int:
    """Slots that a tile's places take in a page."""
    return config.rows * kept + slots_of_word(config) - 1


@dataclass(frozen=True)
class Compact:
    """Where kept weights lie in a matrix of these alone: row ``(block * N + n) * R + r`` has weight
    n of group ``block * R + r`` of every column; rows of groups that there are not are zeros."""

    config: Config
    groups: int
    kept: int

    @property
    def rows(self) -> int:
        return -(-self.groups // self.config.rows) * self.kept * self.config.rows

    def of(self, dense: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The kept weights of a matrix [K, C] with these places [groups, N, C]."""
        each = dense.reshape(self.groups, self.config.group, -1)
        blocks = -(-self.groups // self.config.rows)
        made = np.zeros((blocks * self.config.rows, self.kept, dense.shape[1]), dense.dtype)
        made[: self.groups] = np.take_along_axis(each, places, axis=1)
        made = made.reshape(blocks, self.config.rows, self.kept, -1)
        return np.ascontiguousarray(made.swapaxes(1, 2)).reshape(self.rows, -1)

    def dense(self, compact: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The matrix [K, C] that has these weights, and zeros elsewhere."""
        blocks = compact.reshape(-1, self.kept, self.config.rows, compact.shape[1])
        each = blocks.swapaxes(1, 2).reshape(-1, self.kept, compact.shape[1])[: self.groups]
        made = np.zeros((self.groups, self.config.group, compact.shape[1]), compact.dtype)
        np.put_along_axis(made, places, each, axis=1)
        return made.reshape(-1, compact.shape[1])


def rows_at_once(config: Config, kept: int) -> int:
    """Of the rows that are summed over, how many a page holds beside places.

    Raises `FormatError` if it holds none.
    """
    slots = config.weight_slots - 2 * area_of(config, kept)
    most = min(slots, config.activation_groups, config.schedule_records)
    most -= most % config.group
    if most < config.group:
        raise FormatError(
            f"a page of {config.weight_slots} weight slots has no room for the places of two tiles "
            f"with {kept} of {config.group} weights: build a device with more weight_slots"
        )
    return most


def chunks_of(config: Config, rows: int, kept: int) -> list[range]:
    """The rows that a gradient is summed over, in as many chunks as it takes, each with whole
    groups but the last. Raises `FormatError` as `rows_at_once`."""
    count = -(-rows // rows_at_once(config, kept))
    each = -(-rows // count // config.group) * config.group
    return [range(first, min(first + each, rows)) for first in range(0, rows, each)]


def phases_of(config: Config, x: Grouped, weights: KeptRows, pages: Sequence[Page]) -> list[Phase]:
    """The tiles of a gradient one after another, each a phase: a block of groups meets all columns
    before the next one does."""
    return _Order(config, x, weights, Pages(config, pages)).phases()


@dataclass
class _Order:
    config: Config
    x: Grouped
    weights: KeptRows
    pages: Pages
    _there: dict[Page, list[tuple[int, int] | None]] = field(default_factory=dict)
    """By a page of weights, the tiles whose places are in its two areas."""

    def phases(self) -> list[Phase]:
        config, x = self.config, self.x
        blocks = list(self.weights.rows.blocks(config.columns))
        self.slots = len(blocks[0].values)
        together = (config.weight_slots - 2 * self.weights.area) // self.slots
        batches = [
            range(at, min(at + together, len(blocks))) for at in range(0, len(blocks), together)
        ]
        tiles = []
        for block in range(-(-x.walk.groups // config.rows)):
            for batch in batches[::-1] if block % 2 else batches:
                tiles += [(block, batch, column) for column in batch]
        for number, (block, batch, column) in enumerate(tiles):
            following = tiles[number + 1] if number + 1 < len(tiles) else None
            following = following and (following[0], following[2])
            self._tile(block, batch, column, blocks, following, number == 0)
        return self.pages.phases

    def _tile(
        self,
        block: int,
        batch: range,
        column: int,
        blocks: Sequence[ColumnBlock],
        following: tuple[int, int] | None,
        is_first: bool,
    ) -> None:
        phase, n = Phase(in_order=True), self.weights.kept.kept
        (left,), (new,) = self.pages.place("activations", [block])
        (right,), (fresh,) = self.pages.place("weights", [batch])
        if new:
            codes = block * self.x.words + np.arange(self.x.words)
            self.pages.load(phase, left, {Target.ACTIVATIONS: codes})
        if fresh:
            values = np.concatenate([blocks[each].values for each in batch])
            self.pages.load(phase, right, {Target.VALUES: values})
        records = np.ones(max(self.slots, self.config.rows), np.uint8)
        self.pages.load(phase, right, {Target.SCHEDULE: records})
        slot = (column - batch.start) * self.slots
        mine = self._places(phase, right, (block, column), following)
        coming = self._places(phase, right, following, (block, column)) if following else None
        runs = range(block * n, (block + 1) * n)
        # A pass of fewer slots than rows lets not all of them take a place.
        alone = self.slots < self.config.rows
        for number, row_block in enumerate(runs):
            if is_first and number == 0 or alone:
                phase.runs.append(
                    self._run(row_block, column, left, right, slot, mine + number, True)
                )
            next_one = mine + number + 1 if number < n - 1 else coming
            takes = None if alone else next_one
            phase.runs.append(self._run(row_block, column, left, right, slot, takes))
        self.pages.phases.append(phase)

    def _places(
        self, phase: Phase, page: Page, tile: tuple[int, int], beside: tuple[int, int] | None
    ) -> int:
        """The slot in a page where a tile's places begin; they are brought to the area that has not
        those of another one."""
        areas = self._there.setdefault(page, [None, None])
        before, codes = self.weights.tile(*tile)
        end = self.config.weight_slots - 2 * self.weights.area
        if tile not in areas:
            free = 1 if areas[0] is not None and areas[0] == beside else 0
            areas[free] = tile
            first = end + free * self.weights.area
            self.pages.load(phase, page, {Target.INDICES: np.array(codes)[:, None]}, first=first)
        return end + areas.index(tile) * self.weights.area + before

    def _run(
        self,
        row_block: int,
        column: int,
        left: Page,
        right: Page,
        slot: int,
        takes: int | None,
        first: bool = False,
    ) -> Run:
        """A pass; or the RUN before the `first` one, in which elements take places alone."""
        config, step = self.config, self.weights.kept.kept
        slots = config.rows if first else self.slots
        page = right.number * config.weight_slots
        fields = {
            "activation_base": left.number * config.activation_groups,
            "activation_stride": 0,
            "slot_base": page + (0 if first else slot),
            "schedule_base": right.number * config.schedule_records,
            "schedule_count": slots,
            "row_blocks": 1,
            "held": int(not first),
            "takes": int(takes is not None),
        }
        reads = {
            Target.ACTIVATIONS: (fields["activation_base"], 0 if first else slots),
            Target.SCHEDULE: (fields["schedule_base"], slots),
            Target.VALUES: (fields["slot_base"], 0 if first else slots),
        }
        if takes is not None:
            reads[Target.INDICES] = (page + takes, (config.rows - 1) * step + 1)
        ranges = {target: range(at, at + count) for target, (at, count) in reads.items()}
        place = None if takes is None else (takes, step)
        rows = range(row_block, row_block + 1)
        return Run(rows, column, (left, right), fields, ranges, not first, slots, place)
