"""What a request asks for, done exactly once, and the response to it.

    IDLE ─► CHECK ─► FINISH ─► COMPARE ─► DECIDE ─┬─► READ, WRITE ─┬─► HEAD ─► OUTPUT ─► FCS ─► SEND
                                                  ├─► BEAT ◄► BYTES ┤                            │
                                                  ├─ refused ───────┘                            │
                                                  ├─ the last one again ─────────────────────────┤
                                                  └─ damaged ─► IDLE ◄───────────────────────────┘

The FCS is checked by reading the request back from its store, so a bit that flips there is found
too. A request that comes again is answered from the response store, without being executed.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import AxiLite, AxiStream
from ..bus.axi_lite import ADDRESS_BITS
from ..config import Config
from ..isa.link_protocol import (
    BEATS_AT,
    FCS_BYTES,
    HEAD_BYTES,
    HELLO_MARK,
    PROTOCOL_VERSION,
    REJECT_AT,
    RESPONSE,
    STORE_BYTES,
    STORE_LOG2,
    TIMEOUT,
    Kind,
    LinkStatus,
    beats_out,
)
from ..isa.registers import ADDRESS, CONTROL_RESET
from ..lib.pipeline import delay
from .framing import Fcs
from .receiver import REQUEST
from .responder import RESPONSE as ANSWER

HEAD = data.StructLayout(
    {
        "kind": 8,
        "session": 16,
        "sequence": 8,
        "status": 8,
        "count": 8,
        "value": 32,
    }
)
"""A response's head. A request's has its arguments from `status` on."""

CHOSEN = data.StructLayout({"byte": 8, "counts": 1, "written": 1, "address": range(STORE_BYTES)})
"""A byte on its way into the FCS (`counts`), or the response store (`written`), or both."""


class Executor(wiring.Component):
    """Check a request, execute it, make its response and have it sent.

    Throughput: a byte a cycle. Stall rule: waits at most `TIMEOUT` cycles for the accelerator.

    Members
    -------
    request : In REQUEST
    response : Out RESPONSE, of the responder
    busy : Out(1), from a request's first byte until its response is sent
    error : Out(1), the last request was damaged or refused
    s_axis, m_axis, s_axil : to the accelerator's buses of the same names
    """

    def __init__(self, config: Config, fcs=None):
        self.config = config
        self.fcs = fcs or Fcs()
        width = 8 * config.stream_bytes
        # One register file of a head, and one FCS, for both directions.
        self.head = Signal(HEAD)
        # A byte enters the FCS and the response store the cycle after it was chosen: a store
        # answers late in its cycle, and the accelerator's bytes come a long way.
        self.chosen = Signal(CHOSEN)
        self.at = Signal(range(STORE_BYTES + 2))
        """Which byte of the request, or the head or the FCS; of an answer, which beat."""
        self.body_end = Signal(range(STORE_BYTES))
        self.end = Signal(range(STORE_BYTES))
        """One behind the response that is written."""
        self.kept = Signal(range(STORE_BYTES))
        """The same of the last response."""
        self.session, self.sequence, self.open = Signal(16), Signal(8), Signal()
        self.intact, self.known, self.again = Signal(), Signal(), Signal()
        self.next_one, self.rejected = Signal(), Signal()
        self.waited = Signal(range(TIMEOUT))
        self.byte = Signal(range(config.stream_bytes + 1))
        """Which of a beat's; one more tells whether it is a packet's last."""
        self.wanted = Signal(8)
        self.held, self.beat, self.beat_last = Signal(), Signal(width), Signal()
        self.accepted = Signal()
        """A beat is taken the cycle after its last byte, so that ready comes from a register."""
        self.address_sent, self.data_sent = Signal(), Signal()
        self.timed_out = Signal()
        """A register did not answer. An answer that comes too late would be taken for the next
        request's: none is asked again."""
        self._hello = self.head.kind == Kind.HELLO
        self._in_time = self.waited != TIMEOUT - 1
        self._value = Signal(32)
        super().__init__(
            {
                "request": In(REQUEST),
                "response": Out(ANSWER),
                "busy": Out(1),
                "error": Out(1),
                "s_axis": Out(AxiStream(width)),
                "m_axis": In(AxiStream(width)),
                "s_axil": Out(AxiLite(ADDRESS_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        head = self.head
        self.late = late = delay(m, "chosen", self.chosen, 1)
        m.submodules.fcs = self.fcs
        m.d.sync += self.body_end.eq(self.request.length - FCS_BYTES)
        m.d.comb += [
            self.fcs.valid.eq(late.counts),
            self.fcs.byte.eq(late.byte),
            self.request.address.eq(self.at),
            self.chosen.address.eq(self.end),
            self.response.write.eq(late.written),
            self.response.address.eq(late.address),
            self.response.data.eq(late.byte),
            self.response.begin.eq(Mux(self.rejected, REJECT_AT, 0)),
            self.response.end.eq(self.end),
            self.busy.eq(1),
            self.m_axis.tready.eq(self.accepted),
            self.s_axis.tvalid.eq(self.held),
            self.s_axis.tdata.eq(self.beat),
            self.s_axis.tlast.eq(self.beat_last),
            self.s_axil.araddr.eq(Cat(head.status, head.count)),
            self.s_axil.awaddr.eq(Cat(head.status, head.count)),
            self.s_axil.wdata.eq(self._value),
            self.s_axil.wstrb.eq(0xF),
            self._value.eq(head.value),
        ]
        with m.If(self._hello):
            m.d.comb += [
                self.s_axil.awaddr.eq(ADDRESS["control"]),
                self._value.eq(CONTROL_RESET),
            ]
        with m.If(self.s_axis.tready):
            m.d.sync += self.held.eq(0)
        with m.FSM() as self.fsm:
            self._check(m)
            self._decide(m)
            self._registers(m)
            self._beats_in(m)
            self._answer(m)
            with m.State("SEND"):
                m.d.comb += self.response.send.eq(1)
                with m.If(self.response.sent):
                    m.next = "IDLE"
        return m

    def _check(self, m: Module):
        """The request's bytes through the FCS, its head into the register file."""
        at, request = self.at, self.request
        with m.State("IDLE"):
            m.d.comb += [self.busy.eq(request.length != 0), self.fcs.clear.eq(1)]
            m.d.sync += at.eq(0)
            with m.If(request.pending):
                m.next = "CHECK"
        with m.State("CHECK"):
            # The store answers one cycle after its address.
            m.d.sync += at.eq(at + 1)
            m.d.comb += [self.chosen.byte.eq(request.data), self.chosen.counts.eq(at != 0)]
            with m.If((at != 0) & (at <= HEAD_BYTES)):
                m.d.sync += self.head.eq(Cat(self.head.as_value()[8:], request.data))
            with m.If(at == request.length):
                m.next = "FINISH"
        with m.State("FINISH"):
            # The last byte enters the FCS.
            m.next = "COMPARE"
        with m.State("COMPARE"):
            following = Signal(8)
            m.d.comb += following.eq(self.sequence + 1)
            m.d.sync += [
                self.intact.eq(self.fcs.intact),
                self.known.eq(self.open & (self.head.session == self.session)),
                self.again.eq(self.head.sequence == self.sequence),
                self.next_one.eq(self.head.sequence == following),
            ]
            m.next = "DECIDE"

    def _decide(self, m: Module):
        """Whether it is executed, refused, answered again or dropped."""
        head, hello = self.head, self._hello
        with m.State("DECIDE"):
            m.d.sync += [
                self.rejected.eq(0),
                self.error.eq(0),
                self.end.eq(0),
                self.at.eq(BEATS_AT),
                self.byte.eq(0),
                self.waited.eq(0),
                self.wanted.eq(0),
                self.address_sent.eq(0),
                self.data_sent.eq(0),
            ]
            with m.If(~self.intact):
                m.d.comb += self.request.taken.eq(1)
                m.d.sync += self.error.eq(1)
                m.next = "IDLE"
            with m.Elif(~hello & ~self.known):
                self._reject(m, LinkStatus.BAD_SESSION)
            with m.Elif(~hello & self.again):
                m.d.comb += self.request.taken.eq(1)
                m.d.sync += self.end.eq(self.kept)
                m.next = "SEND"
            with m.Elif(~hello & ~self.next_one):
                self._reject(m, LinkStatus.BAD_SEQUENCE)
            with m.Else():
                m.d.sync += [
                    self.sequence.eq(head.sequence),
                    self.session.eq(head.session),
                    self.open.eq(1),
                ]
                with m.Switch(head.kind):
                    for kind, size, state in (
                        (Kind.HELLO, 2, "WRITE"),
                        (Kind.READ, 2, "READ"),
                        (Kind.WRITE, 6, "WRITE"),
                    ):
                        with m.Case(kind):
                            m.next = state
                            with m.If(self.body_end != size + 4):
                                self._respond(m, LinkStatus.BAD_LENGTH)
                    with m.Case(Kind.EXCHANGE):
                        m.d.sync += [self.wanted.eq(head.status), head.count.eq(0)]
                        m.next = "BEAT"
                    with m.Default():
                        self._respond(m, LinkStatus.BAD_KIND)

    def _registers(self, m: Module):
        """A register is read or written; of a HELLO, the reset."""
        bus, head = self.s_axil, self.head
        given_up = self.timed_out | ~self._in_time
        with m.State("READ"):
            m.d.sync += self.waited.eq(self.waited + 1)
            m.d.comb += [
                bus.arvalid.eq(~self.address_sent & ~self.timed_out),
                bus.rready.eq(~self.timed_out),
            ]
            with m.If(bus.arready):
                m.d.sync += self.address_sent.eq(1)
            with m.If(given_up):
                m.next = "TIMEOUT"
            with m.Elif(bus.rvalid):
                m.d.sync += head.value.eq(bus.rdata)
                self._respond(m, LinkStatus.OK)
        with m.State("WRITE"):
            m.d.sync += self.waited.eq(self.waited + 1)
            m.d.comb += [
                bus.awvalid.eq(~self.address_sent & ~self.timed_out),
                bus.wvalid.eq(~self.data_sent & ~self.timed_out),
                bus.bready.eq(~self.timed_out),
            ]
            with m.If(bus.awready):
                m.d.sync += self.address_sent.eq(1)
            with m.If(bus.wready):
                m.d.sync += self.data_sent.eq(1)
            with m.If(given_up):
                m.next = "TIMEOUT"
            with m.Elif(bus.bvalid):
                self._respond(m, LinkStatus.OK)
                # A beat from before a reset must not reach the emptied accelerator.
                control = bus.awaddr == ADDRESS["control"]
                with m.If(control & (self._value & CONTROL_RESET).any()):
                    m.d.sync += self.held.eq(0)
                with m.If(self._hello):
                    beat_bytes = self.config.stream_bytes
                    told = HELLO_MARK | PROTOCOL_VERSION << 8 | beat_bytes << 16
                    m.d.sync += [head.count.eq(STORE_LOG2), head.value.eq(told)]
        with m.State("TIMEOUT"):
            m.d.sync += self.timed_out.eq(1)
            self._respond(m, LinkStatus.TIMEOUT)

    def _beats_in(self, m: Module):
        """Beats from the request to the accelerator, as far as it takes them."""
        at, head, request = self.at, self.head, self.request
        with m.State("BEAT"):
            # Between beats: the one before must have been taken.
            m.d.sync += self.waited.eq(self.waited + 1)
            with m.If(at == self.body_end):
                self._respond(m, LinkStatus.OK, head.count)
            with m.Elif(~self.held):
                m.d.sync += at.eq(at + 1)
                m.next = "BYTES"
            with m.Elif(~self._in_time):
                self._respond(m, LinkStatus.OK, head.count)
        with m.State("BYTES"):
            m.d.sync += [at.eq(at + 1), self.byte.eq(self.byte + 1), self.waited.eq(0)]
            with m.If(self.byte == self.config.stream_bytes):
                m.d.sync += [
                    at.eq(at),
                    self.byte.eq(0),
                    self.beat_last.eq(request.data[0]),
                    self.held.eq(1),
                    head.count.eq(head.count + 1),
                ]
                m.next = "BEAT"
            with m.Else():
                m.d.sync += self.beat.eq(Cat(self.beat, request.data)[8:])
                with m.If(at == self.body_end):
                    self._respond(m, LinkStatus.BAD_LENGTH, head.count)

    def _answer(self, m: Module):
        """The response into its store: its head, beats of the accelerator, the FCS."""
        at, byte, head, bus = self.at, self.byte, self.head, self.m_axis
        last_byte = byte == self.config.stream_bytes
        with m.State("HEAD"):
            self._write(m, head.as_value()[:8])
            m.d.sync += [head.eq(head.as_value()[8:]), at.eq(at + 1)]
            with m.If(at == HEAD_BYTES - 1):
                m.d.sync += at.eq(0)
                m.next = "OUTPUT"
        with m.State("OUTPUT"):
            m.d.sync += self.waited.eq(self.waited + 1)
            most = beats_out(self.config.stream_bytes)
            with m.If(self.accepted):
                m.d.sync += self.accepted.eq(0)
            with m.Elif((at == self.wanted) | (at == most) | ~self._in_time):
                m.d.sync += at.eq(0)
                m.next = "FCS"
            with m.Elif(bus.tvalid):
                self._write(m, Mux(last_byte, bus.tlast, bus.tdata.word_select(byte, 8)))
                m.d.sync += [self.waited.eq(0), byte.eq(byte + 1)]
                with m.If(last_byte):
                    m.d.sync += [byte.eq(0), at.eq(at + 1), self.accepted.eq(1)]
        with m.State("FCS"):
            self._write(m, self.fcs.fcs.word_select(at[:2], 8), counts=0)
            m.d.sync += at.eq(at + 1)
            with m.If(at == FCS_BYTES - 1):
                m.d.comb += self.request.taken.eq(1)
                with m.If(~self.rejected):
                    m.d.sync += self.kept.eq(self.end + 1)
                m.next = "SEND"

    def _write(self, m: Module, byte, counts=1):
        """Append `byte` to the response; `counts`: the FCS covers it."""
        chosen = self.chosen
        m.d.comb += [chosen.byte.eq(byte), chosen.counts.eq(counts), chosen.written.eq(1)]
        m.d.sync += self.end.eq(self.end + 1)

    def _respond(self, m: Module, status: LinkStatus, count=0):
        """Begin the response."""
        m.d.comb += self.fcs.clear.eq(1)
        m.d.sync += [
            self.head.kind.eq(self.head.kind | RESPONSE),
            self.head.status.eq(status),
            self.head.count.eq(count),
            self.at.eq(0),
            self.byte.eq(0),
            self.waited.eq(0),
        ]
        m.next = "HEAD"

    def _reject(self, m: Module, status: LinkStatus):
        m.d.sync += [
            self.rejected.eq(1),
            self.end.eq(REJECT_AT),
            self.wanted.eq(0),
            self.error.eq(1),
        ]
        self._respond(m, status)
