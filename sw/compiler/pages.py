"""What the pages of the buffers hold as an order of work goes on, and the loads that come of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.maps import address_bits, chunks
from .steps import PAGES, Load, Page, Phase

PIECE = 128
"""Cycles that one load takes at most (about), so that loads can be spread."""


class Pages:
    """The pages of a product, those that are free first coming first, and its phases so far."""

    def __init__(self, config: Config, pages: Sequence[Page] = PAGES):
        self.config = config
        self.phases: list[Phase] = []
        self._pages = pages
        self._held: dict[Page, object] = {}
        self._used: dict[Page, int] = {}
        self._had: set[tuple[str, object]] = set()
        slots = 2 * self.config.weight_slots, self.config.columns
        self._there = {
            Target.SCHEDULE: np.full(2 * self.config.schedule_records, -1, np.int16),
            Target.INDICES: np.full(slots, -1, np.int16),
        }
        """Records and indices on the device: of dense weights all are alike, and stay."""

    def place(self, buffer: str, wanted: Sequence[object]) -> tuple[list[Page], list[bool]]:
        """The page of each of the wanted contents, and whether it is still to be filled."""
        both = [page for page in self._pages if page.buffer == buffer]
        found = {self._held[page]: page for page in both if self._held.get(page) in wanted}
        free = [page for page in both if page not in found.values()]
        free.sort(key=lambda page: self._used.get(page, -1))
        pages, fresh = [], []
        for content in wanted:
            fresh.append(content not in found)
            page = free.pop(0) if fresh[-1] else found[content]
            self._held[page], self._used[page] = content, len(self.phases)
            pages.append(page)
        return pages, fresh

    def again(self, page: Page, key: object) -> bool:
        """Whether the content that goes into a page was on the device before."""
        again = (page.buffer, key) in self._had
        self._had.add((page.buffer, key))
        return again

    def load(
        self,
        phase: Phase,
        page: Page,
        content: Mapping[Target, np.ndarray],
        again: bool = False,
        first: int = 0,
    ) -> None:
        """Load words of some buffers, which have their parts at the same addresses, in turn, from
        the page's `first` word on; but no records and indices that are there."""
        kinds, bits = chunks(self.config), address_bits(self.config)
        step = max(1, PIECE // max(kinds[target].per_word for target in content))
        # Dense weights come in whole groups of slots.
        step = max(self.config.group, step - step % self.config.group)
        for start in range(0, max(map(len, content.values())), step):
            for target, words in content.items():
                base = (page.number << (bits[target] - 1)) + first
                piece = words[start : start + step]
                there = self._there.get(target)
                if there is not None:
                    place = there[base + start : base + start + len(piece)]
                    if np.array_equal(place, piece):
                        continue
                    place[:] = piece
                phase.loads.append(Load(page, target, base + start, piece, again))
