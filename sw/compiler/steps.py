"""What a product's plan is made of: loads into pages, and RUNs that find all they need there."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...hw.isa.codes import Target


class Page(NamedTuple):
    """One of the two pages of a buffer; weights are values, indices and records together."""

    buffer: str
    number: int


PAGES = tuple(Page(buffer, number) for buffer in ("activations", "weights") for number in range(2))


@dataclass(frozen=True)
class Load:
    """A LOAD of `words` [words, ...], raw, into a page."""

    page: Page
    target: Target
    address: int
    words: np.ndarray
    again: bool
    """The device has had the same before, and lost it for want of room."""


@dataclass(frozen=True)
class Run:
    """A RUN on `row_blocks` blocks of rows and one of columns."""

    row_blocks: range
    column_block: int
    pages: tuple[Page, ...]
    """Which it reads."""
    fields: dict[str, int]
    """Those of the command that say where it reads."""
    reads: dict[Target, range]
    """Addresses of what it reads; of the activations those of its first row block, the next ones
    lie `fields["activation_stride"]` further each."""
    finish: bool
    cycles: int
    """How long the array works on it, about."""
    takes: tuple[int, int] | None = None
    """Where, in its page, the places lie that elements take, row by row: the first one's slot, and
    how many lie from one to the next (`commands.Side`)."""

    def activations(self) -> list[range]:
        """Addresses of the activations that it reads, by row block."""
        first, stride = self.reads[Target.ACTIVATIONS], self.fields["activation_stride"]
        blocks = range(len(self.row_blocks))
        return [range(first.start + n * stride, first.stop + n * stride) for n in blocks]


@dataclass
class Phase:
    """RUNs that find all they need in the same pages, and the loads that bring it."""

    loads: list[Load] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    in_order: bool = False
    """Its RUNs come as they are: what elements hold passes from one to the next."""

    @property
    def uses(self) -> set[Page]:
        return {page for run in self.runs for page in run.pages}


@dataclass(frozen=True)
class Setting:
    """The SETTINGS commands that bring a column block's settings into a page of them."""

    column_block: int
    page: int
    commands: int
    """How many commands that takes."""


@dataclass(frozen=True)
class Sent:
    """A RUN as it is sent: with the page of its column block's settings."""

    run: Run
    settings_page: int


Step = Load | Setting | Sent
"""What is sent, one after another."""
