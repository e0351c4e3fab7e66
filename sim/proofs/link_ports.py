"""What the link's proof claims of its ports to the accelerator (see `link.py`)."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume

from ...hw.isa.link_protocol import HEAD_BYTES, REJECT_AT, TIMEOUT, beats_out
from ...hw.isa.registers import ADDRESS, CONTROL_RESET
from .claims import constant, stays


def claim_registers(m: Module, proof, granted: Signal):
    """One access for each request, answered by the answer to it; none once one was silent."""
    s, dut = proof.link.executor, proof.link
    took = {
        channel: getattr(dut.s_axil, f"{channel}valid") & getattr(dut.s_axil, f"{channel}ready")
        for channel in ("ar", "aw", "w", "r", "b")
    }
    done = {channel: Signal(name=f"{channel}_done") for channel in ("ar", "aw", "w")}
    owes = {answer: Signal(name=f"{answer}_owed") for answer in ("r", "b")}
    for channel, seen in done.items():
        m.d.sync += seen.eq(~proof.during("DECIDE") & (seen | took[channel]))
        m.d.comb += Assert(
            ~getattr(dut.s_axil, f"{channel}valid") | (granted & ~seen & ~s.timed_out)
        )
    both = (done["aw"] | took["aw"]) & (done["w"] | took["w"]) & (took["aw"] | took["w"])
    m.d.sync += [
        owes["r"].eq((owes["r"] & ~took["r"]) | took["ar"]),
        owes["b"].eq((owes["b"] & ~took["b"]) | both),
    ]
    m.d.comb += [
        Assume(~dut.s_axil.rvalid | owes["r"]),
        Assume(~dut.s_axil.bvalid | owes["b"]),
        Assert(
            ~owes["r"] | s.timed_out | (proof.during("READ") & done["ar"]) | proof.during("TIMEOUT")
        ),
        Assert(
            ~owes["b"]
            | s.timed_out
            | (proof.during("WRITE") & done["aw"] & done["w"])
            | proof.during("TIMEOUT")
        ),
        Assert(~(took["r"] | took["b"]) | ~s.timed_out),
    ]
    with m.If(~s.timed_out):
        proof.claim(m, "READ", s.address_sent == done["ar"])
        proof.claim(m, "WRITE", s.address_sent == done["aw"], s.data_sent == done["w"])
    was = {name: Signal(name=f"was_{name}") for name in ("READ", "WRITE")}
    answered, value = Signal(), Signal(32)
    m.d.sync += [flag.eq(proof.during(name)) for name, flag in was.items()]
    m.d.sync += [answered.eq(took["r"] | took["b"]), value.eq(dut.s_axil.rdata)]
    with m.If(was["READ"] | was["WRITE"]):
        proof.claim(m, "HEAD", answered, was["WRITE"] | (s.head.value == value))


def claim_beats_in(m: Module, proof):
    """The count that is answered is of beats that the accelerator gets, each once."""
    s, dut = proof.link.executor, proof.link
    full = proof.during("BYTES") & (s.byte == proof.beat_bytes - 1)
    count, owed = Signal(8), Signal()
    emptied = Signal()
    m.d.comb += emptied.eq(
        proof.during("WRITE")
        & dut.s_axil.bvalid
        & dut.s_axil.bready
        & (s.waited != TIMEOUT - 1)
        & (dut.s_axil.awaddr == ADDRESS["control"])
        & (dut.s_axil.wdata & CONTROL_RESET).any()
    )
    m.d.sync += [
        count.eq(Mux(proof.during("DECIDE"), 0, count + full)),
        owed.eq(full | (owed & ~dut.s_axis.tready & ~emptied)),
    ]
    m.d.comb += [Assert(dut.s_axis.tvalid == owed), Assert(~full | ~owed)]
    proof.claim(m, "BYTES", ~owed)
    stays(m, dut.s_axis.tvalid, dut.s_axis.tready | emptied, dut.s_axis.tdata, dut.s_axis.tlast)
    exchanged = Signal()
    m.d.sync += exchanged.eq(proof.during("BEAT", "BYTES"))
    proof.claim(m, "BEAT BYTES", s.head.count == count)
    with m.If(exchanged):
        proof.claim(m, "HEAD", s.head.count == count)


def claim_beats_out(m: Module, proof, granted: Signal):
    """An answer holds the beats that were taken from the accelerator, whole and in order."""
    s, dut = proof.link.executor, proof.link
    payload = Cat(dut.m_axis.tdata, dut.m_axis.tlast)
    # A reset empties the accelerator of what it offers, so it stays only during an answer.
    offered = proof.during("OUTPUT") & dut.m_axis.tvalid & ~dut.m_axis.tready
    waiting, before = Signal(), Signal.like(payload)
    m.d.sync += [waiting.eq(offered), before.eq(payload)]
    same = dut.m_axis.tvalid & (payload == before)
    m.d.comb += Assume(~(waiting & proof.during("OUTPUT")) | same)
    constant(m, proof.which)
    beats, seen = Signal(9), Signal(8)
    with m.If(proof.during("DECIDE")):
        m.d.sync += beats.eq(0)
    with m.Else():
        m.d.sync += beats.eq(beats + dut.m_axis.tready)
    with m.If(s.chosen.written & (s.byte == proof.which)):
        m.d.sync += seen.eq(s.chosen.byte)
    byte = Signal(8)
    m.d.comb += byte.eq(payload.word_select(proof.which, 8))
    m.d.comb += [
        Assert(~dut.m_axis.tready | (proof.during("OUTPUT") & granted & dut.m_axis.tvalid)),
        Assert(~dut.m_axis.tready | ((seen == byte) & (s.waited == 0) & (s.byte == 0))),
        Assert(dut.m_axis.tready == s.accepted),
        Assume(proof.which < proof.beat_bytes),
    ]
    proof.claim(m, "READ WRITE TIMEOUT BEAT BYTES HEAD", beats == 0)
    begin = Mux(s.rejected, REJECT_AT, 0)
    bytes_ = s.at * proof.beat_bytes + s.byte
    proof.claim(
        m,
        "OUTPUT",
        beats + s.accepted == s.at,
        s.at <= s.wanted,
        s.at <= beats_out(proof.config.stream_bytes),
        ~s.rejected | (s.wanted == 0),
        s.end == begin + HEAD_BYTES + bytes_,
        (s.byte == 0) | (dut.m_axis.tvalid & (s.waited == 0)),
        (s.byte <= proof.which) | (seen == byte),
    )
    proof.claim(m, "HEAD", ~s.rejected | (s.wanted == 0))
    proof.claim(
        m,
        "FCS",
        s.end == begin + HEAD_BYTES + beats * proof.beat_bytes + s.at,
    )
