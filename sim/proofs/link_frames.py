"""What the link's proof claims of frames: checked whole, and answered whole (see `link.py`)."""

from types import SimpleNamespace

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert
from amaranth.lib import wiring

from ...hw.isa.link_protocol import (
    FCS_BYTES,
    HEAD_BYTES,
    REJECT_AT,
    RESPONSE,
    STORE_BYTES,
    Kind,
    LinkStatus,
)
from .claims import stays

ANSWER_BYTES = HEAD_BYTES + FCS_BYTES
"""Of an answer without beats."""


class Watched(wiring.Component):
    """In the place of a store: of one byte, at `spot`, it is known what it is; others are free."""

    def __init__(self, name: str):
        super().__init__({})
        self.spot, self.free = Signal(range(STORE_BYTES)), Signal(8)
        self.byte, self.read, self.hit = Signal(8), Signal(8), Signal()
        self.ports = {
            port: SimpleNamespace(
                addr=Signal(range(STORE_BYTES), name=f"{name}_{port}_addr"),
                data=Signal(8, name=f"{name}_{port}_data"),
                en=Signal(name=f"{name}_{port}_en"),
            )
            for port in ("write", "read")
        }

    def write_port(self):
        return self.ports["write"]

    def read_port(self):
        return self.ports["read"]

    def elaborate(self, platform):
        m = Module()
        write, read = self.ports["write"], self.ports["read"]
        with m.If(write.en & (write.addr == self.spot)):
            m.d.sync += self.byte.eq(write.data)
        m.d.sync += [self.read.eq(self.byte), self.hit.eq(read.addr == self.spot)]
        m.d.comb += read.data.eq(Mux(self.hit, self.read, self.free))
        return m


def claim_requests(m: Module, proof, store: Watched):
    """What is judged is the frame that came: its FCS over all its bytes in order, and its head."""
    s, request = proof.link.executor, proof.link.receiver.o
    came, counted = Signal(8), proof.counted
    with m.If(proof.valid & ~request.pending & (request.length == store.spot)):
        m.d.sync += came.eq(proof.data)
    m.d.comb += [Assert(store.byte == came), Assert(s.fcs.byte == s.late.byte)]
    proof.claim(m, "IDLE", ~s.late.counts, s.fcs.clear)
    proof.claim(
        m,
        "CHECK",
        ~s.fcs.clear,
        s.late.counts == (s.at > 1),
        counted == Mux(s.at > 2, s.at - 2, 0),
        (s.at == 0) | (s.at - 1 != store.spot) | (s.chosen.byte == came),
    )
    proof.claim(m, "FINISH", s.late.counts, counted == request.length - 1)
    proof.claim(m, "COMPARE", ~s.late.counts, counted == request.length)

    # The head is shifted in from above.
    head, place = s.head.as_value(), Signal(5)
    loaded = Mux(s.at == 0, 0, Mux(s.at > HEAD_BYTES, HEAD_BYTES, s.at - 1))[:4]
    m.d.comb += place.eq(HEAD_BYTES - loaded + store.spot[:4])
    proof.claim(m, "CHECK", (store.spot >= loaded) | (head.word_select(place, 8) == came))
    proof.claim(
        m,
        "FINISH COMPARE DECIDE",
        (store.spot >= HEAD_BYTES) | (head.word_select(store.spot[:4], 8) == came),
    )


def claim_answers(m: Module, proof, store: Watched, granted: Signal):
    """An answer leaves as it was made, under its FCS; only a new one replaces what is kept."""
    s, out, at = proof.link.executor, proof.framer.i, proof.link.responder.at
    begin = Mux(s.rejected, REJECT_AT, 0)
    in_place = Mux(s.rejected, s.end == REJECT_AT + ANSWER_BYTES, s.end == s.kept)
    kept = (s.kept >= ANSWER_BYTES) & (s.kept <= REJECT_AT)
    m.d.comb += [
        Assert(~s.late.written | (s.rejected == (s.late.address >= REJECT_AT))),
        Assert(~s.late.written | s.rejected | granted),
        Assert(~s.late.written | proof.during("HEAD", "OUTPUT", "FCS", "BEGIN")),
        Assert(~s.late.written | (s.late.address + 1 == s.end)),
    ]
    proof.claim(m, "IDLE CHECK FINISH COMPARE DECIDE BEGIN FETCH TAKE SEND", ~s.open | kept)
    proof.claim(m, "READ WRITE BEAT BYTES TIMEOUT", s.end == 0)
    proof.claim(m, "HEAD OUTPUT FCS", ~s.rejected | ~s.open | kept)
    proof.claim(m, "HEAD", s.end == begin + s.at)
    proof.claim(
        m,
        "FCS",
        s.end >= begin + HEAD_BYTES + s.at,
        s.end <= REJECT_AT - FCS_BYTES + s.at + s.rejected * ANSWER_BYTES,
        ~s.rejected | (s.end == begin + HEAD_BYTES + s.at),
    )

    # The FCS is of all bytes before it.
    counted, fcs = proof.counted, Signal(32)
    with m.If(proof.during("FCS") & (s.at == 0)):
        m.d.sync += fcs.eq(s.fcs.fcs)
    proof.claim(m, "HEAD", (s.at != 0) | ~s.late.counts)
    proof.claim(m, "HEAD OUTPUT FCS", ~s.fcs.clear)
    proof.claim(m, "HEAD OUTPUT", counted + s.late.counts == s.end - begin)
    proof.claim(
        m,
        "FCS",
        ~s.late.counts,
        counted + s.at == s.end - begin,
        (s.at == 0) | (s.fcs.fcs == fcs),
        s.chosen.byte == (s.fcs.fcs >> (8 * s.at))[:8],
    )

    # Any one byte of it leaves as it was made, and all of them do.
    made = Signal(8)
    with m.If(s.chosen.written & (s.end == store.spot)):
        m.d.sync += made.eq(s.chosen.byte)
    late = s.late.written & (s.late.address == store.spot)
    m.d.comb += Assert(Mux(late, s.late.byte, store.byte) == made)
    gone, sent = Signal(range(STORE_BYTES)), Signal()
    m.d.sync += sent.eq(proof.during("SEND"))
    with m.If(proof.during("SEND")):
        m.d.sync += gone.eq(gone + proof.ready)
    with m.Elif(~proof.during("FETCH", "TAKE")):
        m.d.sync += gone.eq(0)
    with m.If(sent):
        proof.claim(m, "IDLE", gone == s.end - begin)
    here = at - 1 == store.spot
    proof.claim(m, "BEGIN FETCH TAKE SEND", in_place)
    proof.claim(m, "FETCH TAKE SEND", at >= begin, at <= s.end)
    proof.claim(m, "FETCH", gone == at - begin, at < s.end)
    proof.claim(m, "TAKE SEND", gone + 1 == at - begin)
    proof.claim(m, "TAKE", ~here | (store.hit & (store.read == made)))
    proof.claim(m, "SEND", ~here | (out.payload.data == made), out.payload.last == (at == s.end))
    m.d.comb += Assert(out.valid == proof.during("SEND"))
    stays(m, out.valid, proof.ready, out.payload)


def claim_deeds(m: Module, proof):
    """What is intact is answered, once; OK is said of what was done."""
    s, at = proof.link.executor, proof.link.responder.at
    owed, kind = Signal(), Signal(8)
    first, silent = Signal(), Signal()
    did = {name: Signal(name=f"did_{name}") for name in ("READ", "WRITE", "BEAT")}
    with m.If(proof.during("DECIDE")):
        m.d.sync += [
            owed.eq(s.intact),
            kind.eq(s.head.kind),
            *(seen.eq(0) for seen in did.values()),
        ]
    with m.Elif(proof.during("SEND") & proof.ready & (at == s.end)):
        m.d.sync += owed.eq(0)
    for name, seen in did.items():
        with m.If(proof.during(name)):
            m.d.sync += seen.eq(1)
    m.d.sync += [first.eq(~proof.during("HEAD")), silent.eq(proof.during("TIMEOUT"))]

    writes = (kind == Kind.HELLO) | (kind == Kind.WRITE)
    done = (
        (did["READ"] & (kind == Kind.READ))
        | (did["WRITE"] & writes)
        | (did["BEAT"] & (kind == Kind.EXCHANGE))
    )
    proof.claim(m, "IDLE CHECK FINISH COMPARE DECIDE", ~owed)
    proof.claim(m, "READ WRITE BEAT BYTES TIMEOUT HEAD OUTPUT FCS BEGIN FETCH TAKE SEND", owed)
    proof.claim(m, "READ WRITE BEAT BYTES TIMEOUT", s.head.kind == kind)
    proof.claim(m, "READ", kind == Kind.READ)
    proof.claim(m, "WRITE", writes)
    proof.claim(m, "BEAT BYTES", kind == Kind.EXCHANGE)
    with m.If(first):
        proof.claim(
            m,
            "HEAD",
            s.head.kind == (kind | RESPONSE),
            (s.head.status != LinkStatus.OK) | done,
            ~silent | (s.head.status == LinkStatus.TIMEOUT),
        )
