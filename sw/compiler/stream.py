"""Weights that come from external memory with every run of a program."""

from collections.abc import Callable

from ...hw.config import Config
from ...hw.isa.descriptors import Copy
from ..errors import FormatError
from .tensors import overlap


class Stream:
    """Words of tensor memory that contents take in turn, the oldest one's first.

    `home` gives the word of external memory where a content lies.
    """

    def __init__(self, config: Config, words: range, home: Callable[[bytes], int]):
        self._config, self._words, self._home = config, words, home
        self._next = words.start
        self._held: dict[bytes, range] = {}
        self._last = range(0)

    def place(self, content: bytes) -> tuple[int, Copy | None]:
        """Where whole words are, and the COPY that brings them, unless they are there.

        The one before stays. Raises `FormatError` if there is no room for both.
        """
        if content in self._held:
            self._last = self._held[content]
            return self._last.start, None
        size = self._config.stream_bytes
        count = len(content) // size
        places = (
            range(first, first + count)
            for first in (self._next, self._last.stop or self._next, self._words.start)
        )
        fitting = (
            place
            for place in places
            if place.stop <= self._words.stop and not overlap(place, self._last)
        )
        here = next(fitting, None)
        if here is None:
            raise FormatError(
                f"the tensors leave {len(self._words):,} words of the tensor memory of "
                f"{self._config.name!r} for weights, too few for {count:,} beside those that are "
                "needed with them; build one with more tensor_words"
            )
        self._held = {held: words for held, words in self._held.items() if not overlap(words, here)}
        self._held[content] = self._last = here
        self._next = here.stop
        external = self._home(content) * size
        copy = Copy(whole=1, external=external, row_bytes=len(content), tensor=here.start)
        return here.start, copy
