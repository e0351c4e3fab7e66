"""Who must wait for whom in a program: the last that touched each word of the buffers and of tensor
memory."""

from collections.abc import Iterable, Sequence

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.engines import MOST_LEFT, Engine, after
from ...hw.isa.maps import address_bits

NOBODY = -1
READERS = Engine.FILL, Engine.ROWS, Engine.VECTOR, Engine.STORE, Engine.COPY
"""Engines that read tensor memory: a RUN's side operands have been read when it has stored."""
WRITERS = Engine.STORE, Engine.VECTOR, Engine.COPY
"""Engines that write to it. External memory is one engine's alone, which keeps its order."""


class Waits:
    """The `waits` of one descriptor after another, in the order of the program.

    Descriptors of an engine are worked on in order, so the last one that touched a thing is all
    that needs to be known of each engine.
    """

    def __init__(self, config: Config):
        self._issued = dict.fromkeys(Engine, 0)
        sizes = {target: 1 << bits for target, bits in address_bits(config).items()}
        self._filled = {target: np.full(size, NOBODY) for target, size in sizes.items()}
        """For each word of a buffer the FILL or ROWS that last filled it."""
        self._used = {target: np.full(size, NOBODY) for target, size in sizes.items()}
        """The RUN that last read it."""
        words = config.tensor_words
        self._written = {writer: np.full(words, NOBODY) for writer in WRITERS}
        """For each word of tensor memory which of an engine's descriptors last wrote to it; a RUN
        counts among those that store."""
        self._read = {reader: np.full(words, NOBODY) for reader in READERS}
        self._set = [NOBODY] * config.settings_pages
        """For each page of column settings the FILL that last filled it."""
        self._settled = [NOBODY] * config.settings_pages
        """The RUN, of those that store, that last used it: it is free when that has stored."""

    def move(
        self,
        mover: Engine,
        fills: Iterable[tuple[Target, range]],
        reads: Iterable[range],
        settings: int = NOBODY,
    ) -> int:
        """Of a FILL or ROWS that fills some words of buffers, or a page of column settings, with
        words of tensor memory."""
        needs = dict.fromkeys(Engine, NOBODY)
        if settings != NOBODY:
            needs[Engine.STORE] = self._settled[settings]
            self._set[settings] = self._issued[mover]
        for target, words in fills:
            part = slice(words.start, words.stop)
            needs[Engine.ARRAY] = max(needs[Engine.ARRAY], _last(self._used[target][part]))
            self._filled[target][part] = self._issued[mover]
        self._reads(needs, mover, reads)
        return self._of(needs, mover)

    def passes(self, engine: Engine, reads: Iterable[range], writes: Iterable[range]) -> int:
        """Of a VECTOR, or a COPY, that reads, a program included, and writes some words."""
        needs = dict.fromkeys(Engine, NOBODY)
        self._reads(needs, engine, reads)
        self._writes(needs, engine, writes)
        # What came to the engine before is done before.
        needs[engine] = NOBODY
        return self._of(needs, engine)

    def run(
        self,
        uses: Iterable[tuple[Target, range]],
        stores: Sequence[range] = (),
        settings: int = NOBODY,
        reads: Sequence[range] = (),
    ) -> int:
        """Of a RUN that uses some words of buffers, and stores to words of tensor memory, with a
        page of column settings and with words of side operands that it reads, or does not.

        Indices lie where their values do.
        """
        needs = dict.fromkeys(Engine, NOBODY)
        for target, words in uses:
            part = slice(words.start, words.stop)
            mover = Engine.ROWS if target is Target.ACTIVATIONS else Engine.FILL
            for each in (target, Target.INDICES) if target is Target.VALUES else (target,):
                needs[mover] = max(needs[mover], _last(self._filled[each][part]))
                self._used[each][part] = self._issued[Engine.ARRAY]
        if not stores:
            return self._of(needs, Engine.ARRAY)
        if settings != NOBODY:
            needs[Engine.FILL] = max(needs[Engine.FILL], self._set[settings])
            self._settled[settings] = self._issued[Engine.STORE]
        self._reads(needs, Engine.STORE, reads)
        # Rows are stored in the order of their RUNs, each when what it reads beside has been read.
        beside = needs[Engine.STORE]
        self._writes(needs, Engine.STORE, stores)
        needs[Engine.STORE] = beside
        return self._of(needs, Engine.ARRAY, Engine.STORE)

    def _reads(self, needs: dict[Engine, int], engine: Engine, reads: Iterable[range]) -> None:
        """What is read must have been written."""
        for words in reads:
            part = slice(words.start, words.stop)
            for writer, written in self._written.items():
                needs[writer] = max(needs[writer], _last(written[part]))
            self._read[engine][part] = self._issued[engine]

    def _writes(self, needs: dict[Engine, int], engine: Engine, writes: Iterable[range]) -> None:
        """What is written must have been read, and written before."""
        for words in writes:
            part = slice(words.start, words.stop)
            for other, touched in (*self._read.items(), *self._written.items()):
                needs[other] = max(needs[other], _last(touched[part]))
            self._written[engine][part] = self._issued[engine]

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


def _last(numbers: np.ndarray) -> int:
    return int(numbers.max(initial=NOBODY))
