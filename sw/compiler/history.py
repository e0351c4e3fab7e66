"""When each word of tensor memory was last written and read, as a program is put together."""

import numpy as np

NOBODY = -1


class History:
    """For each word the RUN after which all that has written to it so far has been sent, and the
    same of all that has read it; `NOBODY` before the first one."""

    def __init__(self, words: int):
        self._written, self._read = np.full(words, NOBODY), np.full(words, NOBODY)

    def written(self, words: range) -> int:
        """The last RUN after which some of the words are written: they are read after it."""
        return int(self._written[words.start : words.stop].max(initial=NOBODY))

    def touched(self, words: range) -> int:
        """The last RUN after which some are written or read: they are written after it."""
        read = self._read[words.start : words.stop].max(initial=NOBODY)
        return max(self.written(words), int(read))

    def write(self, words: range, after: int) -> None:
        """What comes after that RUN writes to the words."""
        self._written[words.start : words.stop] = after

    def read(self, words: range, after: int) -> None:
        """What comes after that RUN reads the words; what has read them stays known."""
        part = slice(words.start, words.stop)
        self._read[part] = np.maximum(self._read[part], after)
