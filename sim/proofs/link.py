"""Link: never stuck, whatever comes; what may be executed is executed once, and nothing else is.

Parts of it are the solver's choice, which covers all that the real ones can do: what comes out of
the line (`Deframer`), when a byte of an answer is taken (`Framer`, whose own proof bounds that),
what the FCS becomes, and what a store holds but for one byte, any. So a frame is intact whenever
the solver wants it to be.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.bus.axi import AxiLite, AxiStream
from ...hw.bus.axi_lite import ADDRESS_BITS
from ...hw.config import Config
from ...hw.isa.link_protocol import (
    BEATS_AT,
    FCS_BYTES,
    HEAD_BYTES,
    RESPONSE,
    STORE_BYTES,
    TIMEOUT,
    Kind,
)
from ...hw.link.framing import Deframer, Fcs, Framer
from ...hw.link.link import Link, Parts
from .claims import Chosen, constant, during, elaborated, ends_within, falls, ranking
from .link_frames import Watched, claim_answers, claim_deeds, claim_requests
from .link_ports import claim_beats_in, claim_beats_out, claim_registers

WATCHDOG = 3
SENDING = {"BEGIN": "IDLE", "FETCH": "FETCH", "TAKE": "TAKE", "SEND": "SEND"}
"""What the executor calls SEND, by the responder's states."""
STEPS = (
    "IDLE",
    "BEGIN FETCH TAKE SEND",
    "FCS",
    "OUTPUT",
    "HEAD",
    "TIMEOUT",
    "READ WRITE BEAT BYTES",
    "DECIDE",
    "COMPARE",
    "FINISH",
    "CHECK",
)
"""A request's way through the states, from its end: a link only ever goes down this list."""


def driven_ports(config: Config) -> dict[tuple[str, str], int]:
    """What the accelerator drives, by bus and port, and its width."""
    buses = {
        "s_axis": AxiStream(8 * config.stream_bytes),
        "m_axis": AxiStream(8 * config.stream_bytes).flip(),
        "s_axil": AxiLite(ADDRESS_BITS),
    }
    return {
        (bus, name): port.shape
        for bus, signature in buses.items()
        for name, port in signature.members.items()
        if port.flow is In
    }


class ChosenDeframer(Chosen, Deframer):
    pass


class ChosenFramer(Chosen, Framer):
    pass


class ChosenFcs(Fcs):
    """Changes as a byte comes or a frame begins, and only then; to what, is the solver's choice."""

    def __init__(self, fcs, intact):
        super().__init__()
        self.free, self.free_intact = fcs, intact

    def elaborate(self, platform):
        m = Module()
        with m.If(self.valid | self.clear):
            m.d.sync += self.fcs.eq(self.free)
        m.d.comb += self.intact.eq(self.free_intact)
        return m


class LinkProof(wiring.Component):
    """Anything on the line; an accelerator that answers when it likes, or never.

    Assumed of the accelerator: AXI4-Stream's rule that an offered beat stays, while an answer is
    filled, and AXI4-Lite's that an answer has a request.
    """

    def __init__(self, config: Config):
        self.config = config
        self.beat_bytes = config.stream_bytes + 1
        self.driven = driven_ports(config)
        super().__init__(
            {
                "i_valid": In(1),
                "valid": In(1),
                "data": In(8),
                "flag": In(1),
                "aborted": In(1),
                "fcs": In(32),
                "intact": In(1),
                "ready": In(1),
                "o_valid": In(1),
                "o_byte": In(8),
                "o_ready": In(1),
                "which": In(range(self.beat_bytes)),
                "spots": In(range(STORE_BYTES)).array(2),
                "free": In(8).array(2),
                **{"_".join(path): In(shape) for path, shape in self.driven.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        deframer, self.framer = ChosenDeframer(), ChosenFramer()
        requests, responses = stores = Watched("requests"), Watched("responses")
        parts = Parts(deframer, self.framer, requests, responses, ChosenFcs(self.fcs, self.intact))
        self.link = dut = Link(self.config, WATCHDOG, parts)
        constant(m, *self.spots)
        for store, spot, free in zip(stores, self.spots, self.free, strict=True):
            m.d.comb += [store.spot.eq(spot), store.free.eq(free)]
        m.submodules.link = elaborated(dut)
        for path in self.driven:
            bus, name = path
            m.d.comb += getattr(getattr(dut, bus), name).eq(getattr(self, "_".join(path)))
        m.d.comb += [
            dut.i_valid.eq(self.i_valid),
            deframer.valid.eq(self.valid),
            deframer.data.eq(self.data),
            deframer.flag.eq(self.flag),
            deframer.aborted.eq(self.aborted),
            self.framer.i.ready.eq(self.ready),
            self.framer.o.valid.eq(self.o_valid),
            self.framer.o.payload.eq(self.o_byte),
            dut.o.ready.eq(self.o_ready),
            Assert(dut.o.valid == self.o_valid),
            Assert(dut.o.payload == self.o_byte),
            Assert(self.framer.o.ready == self.o_ready),
            Assume(~(self.valid | self.flag) | self.i_valid),
            Assume(~self.valid | ~self.flag),
        ]
        # Bytes that the FCS is of.
        self.counted, fcs = Signal(range(STORE_BYTES + 2)), dut.executor.fcs
        m.d.sync += self.counted.eq(Mux(fcs.clear, 0, self.counted + fcs.valid))
        # Of the request under way: whether it may be executed.
        granted = Signal()
        self._progress(m)
        self._grants(m, granted)
        claim_requests(m, self, requests)
        claim_answers(m, self, responses, granted)
        claim_deeds(m, self)
        claim_registers(m, self, granted)
        claim_beats_in(m, self)
        claim_beats_out(m, self, granted)
        return m

    def during(self, *names: str) -> Value:
        executor, responder = self.link.executor.fsm, self.link.responder.fsm
        sending = [SENDING[name] for name in names if name in SENDING]
        others = [name for name in names if name not in SENDING]
        return during(executor, *others) | (during(executor, "SEND") & during(responder, *sending))

    def claim(self, m: Module, states: str, *claims):
        """Assert `claims` in the states whose names stand in `states`."""
        with m.If(self.during(*states.split())):
            for claim in claims:
                m.d.comb += Assert(claim, src_loc_at=1)

    def _progress(self, m: Module):
        """A number that falls with every cycle, unless the link is idle or waits for the line."""
        s, sends, length = self.link.executor, self.link.responder, self.link.receiver.o.length
        pending = self.link.receiver.o.pending
        waits = Signal(range(TIMEOUT))
        m.d.comb += waits.eq(TIMEOUT - 1 - s.waited)
        left = {
            "CHECK": length - s.at,
            "READ": waits,
            "WRITE": waits,
            "BEAT": Cat(waits, (2 * (s.body_end - s.at))[:12]),
            "BYTES": Cat(Const(0, len(waits)), (2 * (s.body_end - s.at) + 1)[:12]),
            "HEAD": HEAD_BYTES - s.at,
            "OUTPUT": Cat(waits, (self.beat_bytes - s.byte)[:10], (256 - s.at)[:9]),
            "FCS": FCS_BYTES - s.at,
            "BEGIN": 4 * (s.end - sends.i.begin) + 3,
            "FETCH": 4 * (s.end - sends.at),
            "TAKE": 4 * (s.end - sends.at) + 2,
            "SEND": 4 * (s.end - sends.at) + 1,
        }
        number = ranking(m, self.during, STEPS, left)
        falls(m, number, ~self.during("IDLE") & ~(self.during("SEND") & ~self.ready))
        due = Signal()
        m.d.sync += due.eq(self.during("IDLE") & pending)
        m.d.comb += [
            Assert(s.fsm.state < len(s.fsm.encoding)),
            Assert(during(sends.fsm, "IDLE") | during(s.fsm, "SEND")),
            Assert(~due | self.during("CHECK")),
            Assert(self.link.busy | (self.during("IDLE") & (length == 0))),
        ]
        # Half a frame is dropped.
        ends_within(m, (length != 0) & ~pending & ~self.i_valid, WATCHDOG + 1)

        whole = (length >= HEAD_BYTES) & (length < STORE_BYTES)
        m.d.comb += [Assert(length <= STORE_BYTES), Assert(~pending | whole)]
        for names in STEPS[2:]:
            self.claim(m, names, pending, s.body_end == length - FCS_BYTES)
        self.claim(m, "CHECK", s.at <= length)
        self.claim(m, "BEAT", s.byte == 0)
        self.claim(m, "BEAT BYTES", s.at >= BEATS_AT, s.at <= s.body_end)
        self.claim(m, "BYTES OUTPUT", s.byte < self.beat_bytes)
        self.claim(m, "HEAD", s.at < HEAD_BYTES, s.byte == 0)
        self.claim(m, "FCS", s.at < FCS_BYTES)

    def _grants(self, m: Module, granted: Signal):
        """Executed is what is intact and a HELLO, or the request after the last one executed."""
        s = self.link.executor
        hello = s.head.kind == Kind.HELLO
        right, any_, session, sequence = Signal(), Signal(), Signal(16), Signal(8)
        m.d.sync += right.eq(self.intact)
        following = Signal(8)
        m.d.comb += following.eq(sequence + 1)
        ours = any_ & (s.head.session == session)
        grant = s.intact & (hello | (ours & (s.head.sequence == following)))
        with m.If(self.during("DECIDE")):
            m.d.sync += granted.eq(grant)
            with m.If(grant):
                m.d.sync += [
                    any_.eq(1),
                    session.eq(s.head.session),
                    sequence.eq(s.head.sequence),
                ]
        m.d.comb += [
            Assert(s.open == any_),
            Assert(~any_ | ((s.session == session) & (s.sequence == sequence))),
        ]
        self.claim(
            m,
            "DECIDE",
            s.intact == right,
            s.known == ours,
            ~any_ | (s.again == (s.head.sequence == sequence)),
            ~any_ | (s.next_one == (s.head.sequence == following)),
        )
        # A session begins, and what belongs to none is refused: both are about to be answered.
        m.d.comb += [
            Cover(granted & self.during("HEAD") & (s.head.kind == Kind.HELLO | RESPONSE)),
            Cover(s.rejected & self.during("HEAD")),
        ]
        self.claim(m, "READ WRITE BEAT BYTES TIMEOUT", granted, ~s.rejected)
        self.claim(m, "HEAD OUTPUT FCS", granted != s.rejected)
