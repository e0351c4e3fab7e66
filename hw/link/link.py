"""The device's end of the serial link: requests in, each executed exactly once, responses out.

    line in ──► Deframer ──► request store ──► check ──► execute ──► response store ──► Framer
                                                           │
                                             AXI4-Lite, AXI4-Stream of the accelerator

The frames are those of `hw/isa/link_protocol.py`. The FCS is checked by reading the request back
from its store, so a bit that flips there is found too. A request that comes again is answered from
the response store, without being executed.
"""

from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..bus.axi import AxiLite, AxiStream
from ..bus.axi_lite import ADDRESS_BITS
from ..config import Config
from ..isa.link_protocol import (
    BEATS_AT,
    FCS_BYTES,
    FCS_RESIDUE,
    HEAD_BYTES,
    HELLO_MARK,
    PATIENCE,
    PROTOCOL_VERSION,
    REJECT_AT,
    RESPONSE,
    STORE_BYTES,
    STORE_LOG2,
    Kind,
    LinkStatus,
    beats_out,
)
from ..isa.registers import ADDRESS, CONTROL_RESET
from ..lib.pipeline import delay
from .framing import FCS_INITIAL, Deframer, Framer, fcs32_next

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


class Link(wiring.Component):
    """Serve requests from a byte line.

    Throughput: the line's; a request is checked, executed and answered at a byte a cycle. An
    EXCHANGE waits at most `PATIENCE` cycles for each beat, so a stalled accelerator never stalls
    the link; a register is waited for as long, and after that none is asked again until the
    device starts anew. What arrives while a request is executed is lost, and the host sends it
    again. A frame whose bytes stop for `watchdog` cycles is dropped.

    Members
    -------
    i_valid, i_data : In, a byte from the line
    o : stream of bytes to the line
    busy : Out(1), between a request's first byte and its response's last
    error : Out(1), the last frame was damaged or refused
    s_axis, m_axis, s_axil : to the accelerator's buses of the same names
    """

    def __init__(self, config: Config, watchdog: int):
        self.config = config
        self.watchdog = watchdog
        super().__init__(
            {
                "i_valid": In(1),
                "i_data": In(8),
                "o": Out(stream.Signature(8)),
                "busy": Out(1),
                "error": Out(1),
                "s_axis": Out(AxiStream(8 * config.stream_bytes)),
                "m_axis": In(AxiStream(8 * config.stream_bytes)),
                "s_axil": Out(AxiLite(ADDRESS_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat_bytes = self.config.stream_bytes
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer()
        m.submodules.requests = requests = Memory(shape=8, depth=STORE_BYTES, init=[])
        m.submodules.responses = responses = Memory(shape=8, depth=STORE_BYTES, init=[])
        store, fetch = requests.write_port(), requests.read_port()
        answer, resend = responses.write_port(), responses.read_port()

        # Receive: into the store until a flag, then wait for `taken`.
        pending, taken = Signal(), Signal()
        length = Signal(range(STORE_BYTES + 1))
        silence = Signal(range(self.watchdog + 1))
        m.d.comb += [
            deframer.i_valid.eq(self.i_valid),
            deframer.i_data.eq(self.i_data),
            store.addr.eq(length),
            store.data.eq(deframer.data),
            store.en.eq(deframer.valid & ~pending & ~length[STORE_LOG2]),
        ]
        with m.If(self.i_valid | (length == 0) | pending):
            m.d.sync += silence.eq(0)
        with m.Else():
            m.d.sync += silence.eq(silence + 1)
        with m.If(taken):
            m.d.sync += [pending.eq(0), length.eq(0)]
        with m.Elif(pending):
            pass
        with m.Elif(deframer.flag):
            # A full store is taken for an overrun. Shorter ones are noise, or flags in a row.
            with m.If((length >= HEAD_BYTES) & ~length[STORE_LOG2] & ~deframer.aborted):
                m.d.sync += pending.eq(1)
            with m.Else():
                m.d.sync += length.eq(0)
        with m.Elif(store.en):
            m.d.sync += length.eq(length + 1)
        with m.Elif(silence == self.watchdog):
            m.d.sync += length.eq(0)

        # One register file of a head, and one FCS, for both directions.
        head = Signal(HEAD)
        # A byte enters the FCS and the response store the cycle after it was chosen: a store
        # answers late in its cycle, and the accelerator's bytes come a long way.
        crc = Signal(32)
        chosen = Signal(CHOSEN)
        late = delay(m, "chosen", chosen, 1)
        with m.If(late.counts):
            m.d.sync += crc.eq(fcs32_next(crc, late.byte))
        at = Signal(range(STORE_BYTES + 2))
        end = Signal(range(STORE_BYTES))  # one behind the response that is being written
        kept = Signal(range(STORE_BYTES))  # the same of the last response
        session, sequence, open_ = Signal(16), Signal(8), Signal()
        rejected = Signal()
        intact, known, again, next_one = Signal(), Signal(), Signal(), Signal()  # of a request
        patience = Signal(range(PATIENCE))
        patient = patience != PATIENCE - 1
        byte = Signal(range(beat_bytes + 1))  # of a beat
        flag_byte = byte == beat_bytes
        wanted = Signal(8)
        sent = Signal(8)
        body_end = Signal(range(STORE_BYTES))
        m.d.sync += body_end.eq(length - FCS_BYTES)

        # A beat is taken the cycle after its last byte, so that ready comes from a register.
        accepted = Signal()
        m.d.comb += self.m_axis.tready.eq(accepted)

        held = Signal()
        beat = Signal(8 * beat_bytes)
        beat_last = Signal()
        m.d.comb += [
            self.s_axis.tvalid.eq(held),
            self.s_axis.tdata.eq(beat),
            self.s_axis.tlast.eq(beat_last),
        ]
        with m.If(self.s_axis.tready):
            m.d.sync += held.eq(0)

        address_sent, data_sent = Signal(), Signal()
        # An answer that comes too late would be taken for the next request's: none is sent then.
        silent = Signal()
        unanswered = silent | ~patient
        value = Signal(32)
        m.d.comb += [
            self.s_axil.araddr.eq(Cat(head.status, head.count)),
            self.s_axil.awaddr.eq(Cat(head.status, head.count)),
            self.s_axil.wdata.eq(value),
            self.s_axil.wstrb.eq(0xF),
        ]
        m.d.comb += value.eq(head.value)
        hello = head.kind == Kind.HELLO
        with m.If(hello):
            m.d.comb += [self.s_axil.awaddr.eq(ADDRESS["control"]), value.eq(CONTROL_RESET)]

        m.d.comb += [
            fetch.addr.eq(at),
            resend.addr.eq(at),
            chosen.address.eq(end),
            answer.addr.eq(late.address),
            answer.data.eq(late.byte),
            answer.en.eq(late.written),
            self.busy.eq(1),
        ]

        def write(byte, counts=1):
            """Append `byte` to the response; `counts`: the FCS covers it."""
            m.d.comb += [chosen.byte.eq(byte), chosen.counts.eq(counts), chosen.written.eq(1)]
            m.d.sync += end.eq(end + 1)

        def respond(status: LinkStatus, count=0):
            m.d.sync += [
                head.kind.eq(head.kind | RESPONSE),
                head.status.eq(status),
                head.count.eq(count),
                crc.eq(FCS_INITIAL),
                at.eq(0),
                byte.eq(0),
                patience.eq(0),
            ]
            m.next = "HEAD"

        def reject(status: LinkStatus):
            m.d.sync += [rejected.eq(1), end.eq(REJECT_AT), wanted.eq(0)]
            m.d.sync += self.error.eq(1)
            respond(status)

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(length != 0)
                m.d.sync += [at.eq(0), crc.eq(FCS_INITIAL)]
                with m.If(pending):
                    m.next = "CHECK"
            with m.State("CHECK"):
                # The store answers one cycle after its address.
                m.d.sync += at.eq(at + 1)
                m.d.comb += [chosen.byte.eq(fetch.data), chosen.counts.eq(at != 0)]
                with m.If((at != 0) & (at <= HEAD_BYTES)):
                    m.d.sync += head.eq(Cat(head.as_value()[8:], fetch.data))
                with m.If(at == length):
                    m.next = "FINISH"
            with m.State("FINISH"):
                # The last byte enters the FCS.
                m.next = "COMPARE"
            with m.State("COMPARE"):
                following = Signal(8)
                m.d.comb += following.eq(sequence + 1)
                m.d.sync += [
                    intact.eq(crc == FCS_RESIDUE),
                    known.eq(open_ & (head.session == session)),
                    again.eq(head.sequence == sequence),
                    next_one.eq(head.sequence == following),
                ]
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.sync += [
                    rejected.eq(0),
                    self.error.eq(0),
                    end.eq(0),
                    at.eq(BEATS_AT),
                    byte.eq(0),
                    patience.eq(0),
                    wanted.eq(0),
                    address_sent.eq(0),
                    data_sent.eq(0),
                ]
                with m.If(~intact):
                    m.d.comb += taken.eq(1)
                    m.d.sync += self.error.eq(1)
                    m.next = "IDLE"
                with m.Elif(~hello & ~known):
                    reject(LinkStatus.BAD_SESSION)
                with m.Elif(~hello & again):
                    m.d.comb += taken.eq(1)
                    m.d.sync += [end.eq(kept), at.eq(0)]
                    m.next = "FETCH"
                with m.Elif(~hello & ~next_one):
                    reject(LinkStatus.BAD_SEQUENCE)
                with m.Else():
                    m.d.sync += [sequence.eq(head.sequence), session.eq(head.session), open_.eq(1)]
                    with m.Switch(head.kind):
                        for kind, size, state in (
                            (Kind.HELLO, 2, "WRITE"),
                            (Kind.READ, 2, "READ"),
                            (Kind.WRITE, 6, "WRITE"),
                        ):
                            with m.Case(kind):
                                m.next = state
                                with m.If(body_end != size + 4):
                                    respond(LinkStatus.BAD_LENGTH)
                        with m.Case(Kind.EXCHANGE):
                            m.d.sync += wanted.eq(head.status)
                            m.d.sync += head.count.eq(0)
                            m.next = "BEAT"
                        with m.Default():
                            respond(LinkStatus.BAD_KIND)
            with m.State("READ"):
                m.d.sync += patience.eq(patience + 1)
                m.d.comb += [
                    self.s_axil.arvalid.eq(~address_sent & ~silent),
                    self.s_axil.rready.eq(~silent),
                ]
                with m.If(self.s_axil.arready):
                    m.d.sync += address_sent.eq(1)
                with m.If(unanswered):
                    m.next = "SILENT"
                with m.Elif(self.s_axil.rvalid):
                    m.d.sync += head.value.eq(self.s_axil.rdata)
                    respond(LinkStatus.OK)
            with m.State("WRITE"):
                m.d.sync += patience.eq(patience + 1)
                m.d.comb += [
                    self.s_axil.awvalid.eq(~address_sent & ~silent),
                    self.s_axil.wvalid.eq(~data_sent & ~silent),
                    self.s_axil.bready.eq(~silent),
                ]
                with m.If(self.s_axil.awready):
                    m.d.sync += address_sent.eq(1)
                with m.If(self.s_axil.wready):
                    m.d.sync += data_sent.eq(1)
                with m.If(unanswered):
                    m.next = "SILENT"
                with m.Elif(self.s_axil.bvalid):
                    respond(LinkStatus.OK)
                    # A beat from before a reset must not reach the emptied accelerator.
                    control = self.s_axil.awaddr == ADDRESS["control"]
                    with m.If(control & (value & CONTROL_RESET).any()):
                        m.d.sync += held.eq(0)
                    with m.If(hello):
                        m.d.sync += [
                            head.count.eq(STORE_LOG2),
                            head.value.eq(HELLO_MARK | PROTOCOL_VERSION << 8 | beat_bytes << 16),
                        ]
            with m.State("SILENT"):
                m.d.sync += silent.eq(1)
                respond(LinkStatus.SILENT)
            with m.State("BEAT"):
                # Between beats: the one before must have been taken.
                m.d.sync += patience.eq(patience + 1)
                with m.If(at == body_end):
                    respond(LinkStatus.OK, head.count)
                with m.Elif(~held):
                    m.d.sync += at.eq(at + 1)
                    m.next = "BYTES"
                with m.Elif(~patient):
                    respond(LinkStatus.OK, head.count)
            with m.State("BYTES"):
                m.d.sync += [at.eq(at + 1), byte.eq(byte + 1), patience.eq(0)]
                with m.If(flag_byte):
                    m.d.sync += [
                        at.eq(at),
                        byte.eq(0),
                        beat_last.eq(fetch.data[0]),
                        held.eq(1),
                        head.count.eq(head.count + 1),
                    ]
                    m.next = "BEAT"
                with m.Else():
                    m.d.sync += beat.eq(Cat(beat, fetch.data)[8:])
                    with m.If(at == body_end):
                        respond(LinkStatus.BAD_LENGTH, head.count)
            with m.State("HEAD"):
                write(head.as_value()[:8])
                m.d.sync += [head.eq(head.as_value()[8:]), at.eq(at + 1)]
                with m.If(at == HEAD_BYTES - 1):
                    m.d.sync += at.eq(0)
                    m.next = "OUTPUT"
            with m.State("OUTPUT"):
                # `at` counts the beats here.
                m.d.sync += patience.eq(patience + 1)
                with m.If(accepted):
                    m.d.sync += accepted.eq(0)
                with m.Elif((at == wanted) | (at == beats_out(beat_bytes)) | ~patient):
                    m.d.sync += at.eq(0)
                    m.next = "FCS"
                with m.Elif(self.m_axis.tvalid):
                    write(Mux(flag_byte, self.m_axis.tlast, self.m_axis.tdata.word_select(byte, 8)))
                    m.d.sync += [patience.eq(0), byte.eq(byte + 1)]
                    with m.If(flag_byte):
                        m.d.sync += [byte.eq(0), at.eq(at + 1), accepted.eq(1)]
            with m.State("FCS"):
                write(~crc[:8], counts=0)
                m.d.sync += [crc.eq(crc[8:]), at.eq(at + 1)]
                with m.If(at == FCS_BYTES - 1):
                    m.d.comb += taken.eq(1)
                    m.d.sync += at.eq(Mux(rejected, REJECT_AT, 0))
                    with m.If(~rejected):
                        m.d.sync += kept.eq(end + 1)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += at.eq(at + 1)
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += sent.eq(resend.data)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    framer.i.valid.eq(1),
                    framer.i.payload.data.eq(sent),
                    framer.i.payload.last.eq(at == end),
                ]
                with m.If(framer.i.ready):
                    m.next = "FETCH"
                    with m.If(at == end):
                        m.next = "IDLE"
        m.d.comb += [
            self.o.valid.eq(framer.o.valid),
            self.o.payload.eq(framer.o.payload),
            framer.o.ready.eq(self.o.ready),
        ]
        self.inside = SimpleNamespace(
            fsm=fsm,
            framer=framer,
            pending=pending,
            length=length,
            body_end=body_end,
            at=at,
            end=end,
            kept=kept,
            byte=byte,
            wanted=wanted,
            patience=patience,
            accepted=accepted,
            held=held,
            head=head,
            open=open_,
            crc=crc,
            session=session,
            sequence=sequence,
            intact=intact,
            known=known,
            again=again,
            next_one=next_one,
            rejected=rejected,
            silent=silent,
            address_sent=address_sent,
            data_sent=data_sent,
            patient=patient,
            chosen=chosen,
            late=late,
        )
        """What its proof has to speak of."""
        return m
