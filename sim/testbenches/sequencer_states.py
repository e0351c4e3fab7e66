"""What the engines are said to do, against what is offered, taken and finished outside."""

from collections import Counter, deque

import cocotb
from cocotb.triggers import RisingEdge

from .sequencer_engines import ENGINES, Command

STORES = 3
"""Its place among the engines, behind those whose commands wait."""
PLACES, WAIT_BITS = 6, 5


class States:
    """Follows one sequencer's `states`; counts how often something waited, and for whom."""

    def __init__(self, dut, settled):
        self.dut = dut
        self.settled = settled
        """Tells whether all that was sent has been answered, and so is queued."""
        self.ahead: list[deque[tuple[Command, list[int]]]] = [deque() for _ in ENGINES]
        """Of each engine the commands that it has not taken, each with how many of each engine must
        have been finished before."""
        self.given, self.finished, self.inside = [0] * PLACES, [0] * PLACES, [0] * PLACES
        self.seen = Counter()
        """By (engine, the one that it waited for)."""
        self.full = Counter()
        """By engine, cycles in which a command waited for its queue."""
        cocotb.start_soon(self._watch())

    def sent(self, command: Command):
        """A good command goes to the sequencer, after those before."""
        if command.engine in ENGINES:
            word = int.from_bytes(command.packet[26:30], "little")
            image = command.engine != command.opcode
            fields = [0 if image else word >> WAIT_BITS * n & 31 for n in range(PLACES)]
            targets = [
                given - (wait - 1) if wait else 0
                for given, wait in zip(self.given, fields, strict=True)
            ]
            engine = ENGINES.index(command.engine)
            self.ahead[engine].append((command, targets))
            self.given[engine] += 1
            self.given[STORES] += command.stores

    async def _watch(self):
        dut = self.dut
        ports = [(dut.fill__valid, dut.fill__ready), (dut.row__valid, dut.row__ready)]
        ports.append((dut.run__valid, dut.run__ready))
        while True:
            await RisingEdge(dut.clk)
            states = int(dut.states.value)
            for engine, (valid, ready) in enumerate(ports):
                state = states >> (2 + PLACES) * engine & (1 << 2 + PLACES) - 1
                offered, array = int(valid.value), engine == len(ports) - 1
                assert state & 1 == (offered or (not array and self.inside[engine] > 0))
                self._waits(engine, state >> 1 & (1 << PLACES) - 1, offered)
                self._full(engine, state >> 1 + PLACES)
                if offered and int(ready.value):
                    self.ahead[engine].popleft()
                    self.inside[engine] += 1
            finished = int(dut.finished.value)
            for engine in range(PLACES):
                self.finished[engine] += finished >> engine & 1
                self.inside[engine] -= finished >> engine & 1

    def _waits(self, engine: int, waits: int, offered: int):
        """The first engine of which not enough is finished, of one that has nothing to do."""
        late = []
        if self.ahead[engine] and (engine == 2 or not self.inside[engine]):
            _, targets = self.ahead[engine][0]
            late = [n for n in range(PLACES) if targets[n] > self.finished[n]]
        if waits:
            assert late and waits == 1 << late[0], (engine, waits, late)
            assert not offered
            self.seen[engine, late[0]] += 1
        else:
            assert not (late and self.settled()), f"{engine} waits for {late}, and nobody says so"

    def _full(self, engine: int, full: int):
        """A queue that a command waits for holds several that its engine has not taken."""
        self.full[engine] += full
        assert not full or len(self.ahead[engine]) > 4
