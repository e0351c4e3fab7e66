"""The engines that a sequencer works for: they take what it asks for, and end some time later."""

import random
from collections import deque
from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.isa.codes import Opcode, Status
from .common import join

ENGINES = (Opcode.FILL, Opcode.ROWS, Opcode.RUN)
"""What each engine works on, in the order of the fields in `waits`: five bits each, one more than
how many of the engine's commands before it a command does not wait for, at bit 208 of a header. A
fourth one stores rows of RUNs."""


@dataclass
class Command:
    """A packet and what must come of it."""

    packet: bytes
    opcode: int
    status: Status
    response: int
    """layouts.RESPONSE without its format."""
    fields: dict[str, int]
    answered: bool = True
    """It has an answer: it is its packet's last, or is refused."""
    output: int | None = None
    """The response's format, where rows follow."""
    stores: bool = False
    """A RUN whose rows go to tensor memory."""
    writes: deque = field(default_factory=deque)
    """(target, address, chunk, data) on the write bus, or (address, data) to tensor memory."""
    side: dict[str, int] = field(default_factory=dict)
    """What the last SIDE before it has said."""
    memory: tuple[int, int] | None = None
    """A READ: address and count of its words."""
    pages: dict[str, int] = field(default_factory=dict)
    """The page of each kind that it holds or changes."""
    accepted: bool = False
    """A RUN: the array has it."""
    released: bool = False
    """A RUN: its buffers are free."""
    settings_released: bool = False
    """A RUN: its settings page is free, or it never held one."""
    stored: bool = False
    """A RUN: its rows are in tensor memory."""
    read: bool = False
    """A READ: its words have been read."""

    @property
    def good(self) -> bool:
        return self.status is Status.OK

    @property
    def engine(self) -> int:
        """The opcode that its engine is known by, if it is of one."""
        return Opcode.ROWS if self.opcode == Opcode.IMAGE else self.opcode


class Engines:
    """The array, the movers and the memory. `_run_taken` and the like hand them what they do."""

    def __init__(self, dut, config, hold: int):
        self.dut, self.config = dut, config
        self.hold = hold
        """Longest time in cycles that a RUN keeps its pages, and any move takes."""
        self.working: deque[Command] = deque()
        """RUNs that the array has taken and not yet read."""
        self.leaving: deque[Command] = deque()
        """RUNs whose rows have not left."""
        self.storing: deque[Command] = deque()
        """RUNs whose rows have left and are not in tensor memory."""
        self.reading: deque[Command] = deque()
        """READs whose words have not been read."""
        self.moving: dict[int, deque[Command]] = {op: deque() for op in ENGINES[:2]}
        """FILLs and ROWS, and IMAGEs among these, that their engines have taken."""
        self.held = False
        """No RUN makes progress."""
        self._finished = 0
        """Which of the movers finish one in this cycle."""
        self._read_run = self._stored_run = False
        """The array has read a RUN's buffers in this cycle; rows of a RUN have been stored."""

    def begin(self):
        """Work from now on; after all that hands work over, so that it is seen at once."""
        cocotb.start_soon(self._array())
        if self.config.tensor_words:
            cocotb.start_soon(self._memory())
            cocotb.start_soon(self._movers())
            cocotb.start_soon(self._store())

    def _at_work(self) -> bool:
        queues = self.working, self.leaving, self.storing, self.reading, *self.moving.values()
        return any(queues)

    async def _store(self):
        """Rows are in tensor memory some time after they have left."""
        done, delay = None, 0
        while True:
            await RisingEdge(self.dut.clk)
            if done:
                done.stored = True
            done, delay = None, delay - 1
            if self.storing and delay <= 0:
                done = self.storing.popleft()
                delay = random.randrange(self.hold)
            self._stored_run = bool(done)
            self._show_finished()

    async def _movers(self):
        """FILLs and ROWS end some time after they were taken."""
        ending, delays = [], dict.fromkeys(self.moving, 0)
        while True:
            await RisingEdge(self.dut.clk)
            for command in ending:
                command.released = True
            ending, self._finished = [], 0
            for number, (opcode, queue) in enumerate(self.moving.items()):
                delays[opcode] -= 1
                if queue and delays[opcode] <= 0:
                    ending.append(queue.popleft())
                    self._finished |= 1 << number
                    delays[opcode] = random.randrange(self.hold)
            self._show_finished()

    def _show_finished(self):
        if self.config.tensor_words:
            array = self._read_run << 2 | self._stored_run << 3
            self.dut.finished.value = self._finished | array

    async def _memory(self):
        """Reads what READs want, in order, some time after their answers were taken."""
        done, delay = None, 0
        while True:
            await RisingEdge(self.dut.clk)
            if done:
                done.read = True
            done, delay = None, delay - 1
            if self.reading and delay <= 0:
                done = self.reading.popleft()
                delay = random.randrange(self.hold)
            self.dut.read_done.value = bool(done)

    async def _array(self):
        """Works on RUNs in order: reads the buffers, later sends the rows away."""
        dut = self.dut
        reading = sending = 0
        read = left = None
        while True:
            await RisingEdge(dut.clk)
            # What was driven before this edge takes effect with it.
            if read:
                read.released = True
            if left:
                left.settings_released = True
            read = left = None
            dut.release__valid.value = 0
            dut.release_settings__valid.value = 0
            if not self.held and self.working and reading <= 0:
                read = self.working.popleft()
                pages = [read.pages[k] for k in ("activations", "weights", "schedule")]
                dut.release__valid.value = 1
                dut.release__pages.value = join(pages, 1)
                if "settings" in read.pages:
                    self.leaving.append(read)
                else:
                    read.settings_released = True
                reading = random.randrange(self.hold)
            elif not self.held and self.leaving and sending <= 0:
                left = self.leaving.popleft()
                dut.release_settings__valid.value = 1
                dut.release_settings__page.value = left.pages["settings"]
                if left.stores:
                    self.storing.append(left)
                sending = random.randrange(self.hold)
            reading, sending = reading - 1, sending - 1
            self._read_run = bool(read)
            self._show_finished()
            dut.idle.value = not (self.working or self.leaving)
