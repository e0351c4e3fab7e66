"""Who must wait for whom in a program: the last that touched a page, and each word of memory."""

from collections.abc import Iterable

import numpy as np

from ...hw.config import Config
from ...hw.isa.engines import MOST_LEFT, Engine, after
from .steps import Page

NOBODY = -1


class Waits:
    """The `waits` of one descriptor after another, in the order of the program.

    Descriptors of an engine are worked on in order, so the last one that touched a thing is all
    that needs to be known of each engine.
    """

    def __init__(self, config: Config):
        self._issued = dict.fromkeys(Engine, 0)
        self._filled: dict[Page, int] = {}
        """The FILL or ROWS that last filled a page."""
        self._used: dict[Page, int] = {}
        """The RUN that last used it."""
        words = config.tensor_words
        self._stored = np.full(words, NOBODY)
        """For each word the RUN, counted among those that store, that last wrote to it."""
        self._read = {mover: np.full(words, NOBODY) for mover in (Engine.FILL, Engine.ROWS)}

    def move(self, mover: Engine, page: Page, words: Iterable[slice]) -> int:
        """Of a FILL or ROWS that reads some words and fills (a part of) a page."""
        needs = {Engine.ARRAY: self._used.get(page, NOBODY)}
        for part in words:
            stored = int(self._stored[part].max(initial=NOBODY))
            needs[Engine.STORE] = max(needs.get(Engine.STORE, NOBODY), stored)
            self._read[mover][part] = self._issued[mover]
        self._filled[page] = self._issued[mover]
        return self._of(needs, mover)

    def run(self, pages: Iterable[Page], stores: slice | None) -> int:
        """Of a RUN that uses pages, and stores to some words or none."""
        needs = dict.fromkeys(Engine, NOBODY)
        for page in pages:
            mover = Engine.ROWS if page.buffer == "activations" else Engine.FILL
            needs[mover] = max(needs[mover], self._filled.get(page, NOBODY))
            self._used[page] = self._issued[Engine.ARRAY]
        also = []
        if stores is not None:
            for mover, read in self._read.items():
                needs[mover] = max(needs[mover], int(read[stores].max(initial=NOBODY)))
            self._stored[stores] = self._issued[Engine.STORE]
            also = [Engine.STORE]
        return self._of(needs, Engine.ARRAY, *also)

    def _of(self, needs: dict[Engine, int], *engines: Engine) -> int:
        """The field, for what needs the descriptors of these numbers; and one more is issued."""
        left = {
            engine: min(self._issued[engine] - 1 - number, MOST_LEFT)
            for engine, number in needs.items()
            if number != NOBODY
        }
        for engine in engines:
            self._issued[engine] += 1
        return after(left)
