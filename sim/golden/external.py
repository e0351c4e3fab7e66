"""External memory, and COPYs between it and tensor memory."""

import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Copy

PAGE = 1 << 12


class ExternalMemory:
    """Bytes, zeros at first; as much room is taken as is written to. Those that are `broken`, whole
    beats of the bus, answer with errors."""

    def __init__(self, broken: range = range(0)):
        self.broken = broken
        self._pages: dict[int, np.ndarray] = {}

    def read(self, address: int, count: int) -> np.ndarray:
        """`count` bytes from `address` on, uint8 [count]."""
        data = np.zeros(count, np.uint8)
        for page, there, here in _parts(address, count):
            if page in self._pages:
                data[here] = self._pages[page][there]
        return data

    def content(self) -> dict[int, bytes]:
        """What pages hold that were written to, by their number."""
        return {number: page.tobytes() for number, page in self._pages.items()}

    def write(self, address: int, data: np.ndarray) -> None:
        """Put `data`, uint8, at `address` and behind it."""
        for page, there, here in _parts(address, len(data)):
            self._pages.setdefault(page, np.zeros(PAGE, np.uint8))[there] = data[here]


def _parts(address: int, count: int):
    """The pages that bytes lie in: number, place in the page, place among the bytes."""
    at = 0
    while at < count:
        page, first = divmod(address + at, PAGE)
        some = min(PAGE - first, count - at)
        yield page, slice(first, first + some), slice(at, at + some)
        at += some


def refused(config: Config, copy: Copy) -> tuple[bool, bool]:
    """Whether a COPY's first row is not whole in both memories, or there is none; and whether its
    windows would lie across each other."""
    units = -(-copy.row_bytes // _unit(config, copy))
    several = copy.rows > (1 if copy.whole else config.lanes)
    outside = (
        copy.row_bytes == 0
        or copy.rows == 0
        or copy.external + copy.row_bytes > 1 << config.external_bits
        or copy.tensor + units > config.tensor_words
    )
    return outside, several and copy.pitch < units


def run(config: Config, copy: Copy, external: ExternalMemory, tensor: np.ndarray) -> bool:
    """Copy rows between `external` and `tensor`, uint8 [words, bytes of a word].

    Returns whether all of them are whole inside both, and no byte was broken: others are left out,
    and so is what lies in one beat of a row with a broken one.
    """
    size = _unit(config, copy)
    units = -(-copy.row_bytes // size)
    whole = True
    for row in range(copy.rows):
        line, in_line = divmod(row, copy.line) if copy.line else (0, row)
        address = copy.external + line * copy.line_stride + in_line * copy.stride
        window, lane = (row, 0) if copy.whole else divmod(row, config.lanes)
        first = copy.tensor + window * copy.pitch
        if (
            address + copy.row_bytes > 1 << config.external_bits
            or first + units > config.tensor_words
        ):
            whole = False
            continue
        held = tensor[first : first + units].reshape(units, -1, size)[:, lane]
        bad = _broken(external.broken, address, copy.row_bytes)
        whole &= not bad.any()
        if copy.outward:
            data = held.reshape(-1)[: copy.row_bytes]
            external.write(address, np.where(bad, external.read(address, copy.row_bytes), data))
            continue
        rest = 0, units * size - copy.row_bytes
        came = np.pad(external.read(address, copy.row_bytes), rest).reshape(units, size)
        beats = np.arange(units * size) // config.stream_bytes
        lost = np.isin(beats, beats[: copy.row_bytes][bad]).reshape(units, size)
        held[:] = np.where(lost, held, came)
    return whole


def _broken(broken: range, address: int, count: int) -> np.ndarray:
    """Which of some bytes are."""
    places = address + np.arange(count)
    return (places >= broken.start) & (places < broken.stop)


def _unit(config: Config, copy: Copy) -> int:
    """Bytes that a row takes up together: of a word, or of a group."""
    return config.stream_bytes if copy.whole else config.group_bytes
