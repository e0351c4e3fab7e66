"""The order of one product's commands: tiles, pages, and loads that hide behind the work.

A product is a list of phases (`orders`), each with what it must find loaded and its RUNs. The
device executes in order, and keeps a LOAD waiting while a RUN holds its page; so a load may move
ahead of its phase to any place where no phase before its own still needs the page. It goes where
the array has work for as long as the load takes, by a model of the device (`timing`), which also
says which of the orders is done first.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Target
from . import orders, timing
from .encoding import Encoder, commands_for
from .packing import PackedWeights
from .settings import Settings
from .steps import Load, Page, Phase, Run, Sent, Setting, Step


@dataclass(frozen=True)
class _Early:
    """What RUN `before` needs, possible once RUN `after` has been sent."""

    step: Load | Setting
    after: int
    before: int


class Plan:
    """The commands for ``x @ weights`` with x [B, K] and weights [K, C] as raw elements.

    Nothing is padded along K beyond its last group; the last row and column blocks run whole.

    Members
    -------
    steps : what is sent, in order
    row_blocks, padded_columns : of the outputs, the last blocks whole
    """

    def __init__(
        self,
        config: Config,
        x: np.ndarray,
        weights: PackedWeights,
        settings: Settings,
        relu: bool,
        output: OutputFormat,
    ):
        self.config, self.weights, self.settings = config, weights, settings
        self.relu, self.output = relu, output
        groups = weights.counts.shape[0]
        self.row_blocks = -(-x.shape[0] // config.rows)
        padded = np.zeros((self.row_blocks * config.rows, groups * config.group), x.dtype)
        padded[: x.shape[0], : x.shape[1]] = x
        blocks = padded.reshape(self.row_blocks, config.rows, groups, config.group)
        words = np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))
        product = orders.Product(config, words, weights, output)
        self.padded_columns = product.column_blocks * config.tile_columns
        _, self.steps, _ = _best(product, settings)

    def waits(self) -> dict[str, int]:
        """Cycles that the array is expected to wait for its commands, by cause (`timing.waits`)."""
        return timing.waits(self.config, self.steps)

    def packets(self) -> tuple[list[bytes], list[tuple[slice, slice] | None]]:
        """Command packets, and for each the rows and columns of its response's outputs."""
        encoder = Encoder(self.config, self.settings, self.relu, self.output)
        return encoder.packets(merged(self.steps))


def phases_of(product: orders.Product, settings: Settings) -> list[Phase]:
    """The phases of the order that is done first if it comes through the host's stream."""
    return _best(product, settings)[0]


def _best(product: orders.Product, settings: Settings) -> tuple[list[Phase], list[Step], int]:
    """Phases and steps of the order that is done first, and when it is."""
    found = (
        (phases, *_sequence(product, settings.uniform, phases))
        for phases in (order() for order in orders.orders(product))
    )
    return min(found, key=lambda each: each[2])


def _sequence(
    product: orders.Product, uniform: bool, phases: list[Phase]
) -> tuple[list[Step], int]:
    """The steps of an order, and when they will be done."""
    clock = timing.Clock(product.config)
    steps: list[Step] = []

    def send(step: Step) -> None:
        clock.take(step)
        steps.append(step)

    runs, *queues = _early(product, uniform, phases)
    # Nothing runs yet, so what the first phase cannot hide costs the least here.
    for _ in range(_excess(clock, queues[0], phases[0].runs)):
        send(queues[0].popleft().step)
    for number, sent in enumerate(runs):
        for queue in queues:
            while queue and queue[0].before == number:
                send(queue.popleft().step)
        for queue in queues:
            while queue and queue[0].after < number:
                # While the array has work for as long as that takes.
                if clock.after(queue[0].step) > clock.array:
                    break
                send(queue.popleft().step)
        send(sent)
    return steps, clock.array


def _early(
    product: orders.Product, uniform: bool, phases: list[Phase]
) -> tuple[list[Sent], deque[_Early], deque[_Early]]:
    """All RUNs; the loads and the settings that they need, in that order."""
    held = _SettingsPages(product.config, uniform)
    last_use: dict[Page | int, int] = {}
    runs: list[Sent] = []
    loads: deque[_Early] = deque()
    settings: deque[_Early] = deque()
    for phase in phases:
        for load in phase.loads:
            loads.append(_Early(load, last_use.get(load.page, -1), len(runs)))
        for run in phase.runs:
            page = 0
            if run.finish:
                page, fresh = held.place(run.column_block)
                if fresh:
                    outputs = product.weights.shape[1]
                    commands = commands_for(product.config, outputs, uniform, run.column_block)
                    setting = Setting(run.column_block, page, commands)
                    settings.append(_Early(setting, last_use.get(page, -1), len(runs)))
                last_use[page] = len(runs)
            last_use |= dict.fromkeys(run.pages, len(runs))
            runs.append(Sent(run, page))
    return runs, loads, settings


class _SettingsPages:
    """Which column block's settings each page of them holds.

    If there are more column blocks than pages, the first ones keep theirs and the others take the
    last two pages in turn.
    """

    def __init__(self, config: Config, uniform: bool):
        self._pages, self._uniform = config.settings_pages, uniform
        self._held: dict[int, int] = {}
        self._turn = 0

    def place(self, column_block: int) -> tuple[int, bool]:
        """The page of a column block's settings, and whether they must be sent."""
        if self._uniform:
            column_block = 0
        for page, held in self._held.items():
            if held == column_block:
                return page, False
        page = len(self._held)
        if page == self._pages:
            self._turn ^= 1
            page = self._pages - 1 - self._turn
        self._held[page] = column_block
        return page, True


def _excess(clock: timing.Clock, loads: Iterable[_Early], runs: list[Run]) -> int:
    """How many of the loads to send at once: what the first phase needs, and of the second one's
    those that the first one's RUNs are too short for."""
    first = [e for e in loads if e.after < 0 and e.before <= len(runs)]
    needed = sum(e.before == 0 for e in first)
    costs = [clock.cost(e.step) for e in first[needed:]]
    room = sum(run.cycles for run in runs)
    return needed + next(n for n in range(len(costs) + 1) if sum(costs[n:]) <= room)


def merged(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps with loads that follow each other in a buffer made one: it saves their headers."""

    def kind(step: Step):
        return step.page if isinstance(step, Load) else None

    for page, group in groupby(steps, kind):
        if page is None:
            yield from group
            continue
        joined: dict[Target, list[Load]] = {}
        for load in group:
            mine = joined.setdefault(load.target, [])
            if mine and mine[-1].address + len(mine[-1].words) == load.address:
                words = np.concatenate([mine[-1].words, load.words])
                load = Load(load.page, load.target, mine[-1].address, words, load.again)
                mine.pop()
            mine.append(load)
        for mine in joined.values():
            yield from mine
