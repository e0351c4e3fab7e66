"""Which words of the two memories a program gives to what."""

from collections.abc import Iterable

from ...hw.config import Config
from ..errors import FormatError


class Allocator:
    """Words for tensors, which may be given back, and for constants, which lie there before the
    program runs: so never where a tensor ever lay.

    Each half of the memory gives a word a cycle. Tensors come to its lower end, constants to its
    upper one, as far as they fit.
    """

    def __init__(self, device: str, words: int):
        self._device, self._words = device, words
        self._free = [range(words)]
        """That nothing lies in."""
        self._fresh = [range(words)]
        """That nothing ever lay in."""

    def tensor(self, words: int, what: str, apart: range | None = None) -> int:
        """The first of so many words, in another half than those `apart` if there is room.

        Raises `FormatError` if there is none at all: `what` does not fit.
        """
        half = self._words // 2
        upper = apart is not None and apart.start < half
        for part in (range(half, self._words) if upper else range(half), range(self._words)):
            for free in self._free:
                start = max(free.start, part.start)
                if start + words <= min(free.stop, part.stop):
                    self._take(range(start, start + words))
                    return start
        raise self._full(what, words, self._free)

    def constant(self, words: int, what: str) -> int:
        """The same for a constant."""
        for fresh in reversed(self._fresh):
            if len(fresh) >= words:
                self._take(range(fresh.stop - words, fresh.stop))
                return fresh.stop - words
        raise self._full(what, words, self._fresh)

    def rest(self) -> range:
        """The most words in one piece that nothing ever lay in."""
        return max(self._fresh, key=len, default=range(0))

    @property
    def taken(self) -> int:
        """Words that something lies in or lay in before."""
        return self._words - sum(map(len, self._fresh))

    def free(self, words: range) -> None:
        """Give a tensor's words back."""
        free: list[range] = []
        for each in sorted([*self._free, words], key=lambda each: each.start):
            if free and free[-1].stop == each.start:
                each = range(free.pop().start, each.stop)
            free.append(each)
        self._free = free

    def _take(self, words: range) -> None:
        self._free, self._fresh = _without(self._free, words), _without(self._fresh, words)

    def _full(self, what: str, words: int, left: list[range]) -> FormatError:
        most = max(map(len, left), default=0)
        return FormatError(
            f"{what}: it takes {words:,} words of the tensor memory of {self._device!r}, which has "
            f"{self._words:,}, and {most:,} in one piece are left; build one with more tensor_words"
        )


class ExternalAllocator:
    """Words of external memory, one after another."""

    def __init__(self, config: Config):
        self._config, self._taken = config, 0

    def take(self, words: int) -> int:
        """The first of so many. Raises `FormatError` if they are not there, or no such memory."""
        self.check()
        config, first = self._config, self._taken
        room = (1 << config.external_bits) // config.stream_bytes
        if first + words > room:
            raise FormatError(
                f"the external memory of {config.name!r} has {room:,} words, the program needs "
                f"{first + words - room:,} more; build one with more external_bits"
            )
        self._taken += words
        return first

    def check(self) -> None:
        """Raises `FormatError` if the device has no external memory."""
        if not self._config.external_bits:
            raise FormatError(
                f"the device {self._config.name!r} has no external memory: build one with "
                "external_bits"
            )


def _without(ranges: Iterable[range], words: range) -> list[range]:
    """What of `ranges` is not among `words`."""
    cut = (
        part
        for each in ranges
        for part in (
            range(each.start, min(each.stop, words.start)),
            range(max(each.start, words.stop), each.stop),
        )
    )
    return [part for part in cut if part]
