"""The device's end of the serial link: requests in, each executed exactly once, responses out.

    line in ──► RequestReceiver ──► Executor ──► Responder ──► line out
                                       │
                         AXI4-Lite, AXI4-Stream of the accelerator

The frames are those of `hw/isa/link_protocol.py`.
"""

from dataclasses import dataclass
from typing import Any

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import AxiLite, AxiStream
from ..bus.axi_lite import ADDRESS_BITS
from ..config import Config
from ..lib.connect import connect_checked
from .executor import Executor
from .receiver import RequestReceiver
from .responder import Responder


@dataclass(frozen=True)
class Parts:
    """What a proof puts something else in the place of."""

    deframer: Any = None
    framer: Any = None
    requests: Any = None
    responses: Any = None
    fcs: Any = None


class Link(wiring.Component):
    """Serve requests from a byte line.

    Throughput: the line's; a request is checked, executed and answered at a byte a cycle. An
    EXCHANGE waits at most `TIMEOUT` cycles for each beat, so a stalled accelerator never stalls
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

    def __init__(self, config: Config, watchdog: int, parts: Parts = Parts()):  # noqa: B008
        self.config = config
        self.receiver = RequestReceiver(watchdog, parts.deframer, parts.requests)
        self.executor = Executor(config, parts.fcs)
        self.responder = Responder(parts.framer, parts.responses)
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
        m.submodules.receiver = receiver = self.receiver
        m.submodules.executor = executor = self.executor
        m.submodules.responder = responder = self.responder
        m.d.comb += [
            receiver.i_valid.eq(self.i_valid),
            receiver.i_data.eq(self.i_data),
            self.busy.eq(executor.busy),
            self.error.eq(executor.error),
        ]
        connect_checked(m, receiver.o, executor.request)
        connect_checked(m, executor.response, responder.i)
        connect_checked(m, responder.o, wiring.flipped(self.o))
        for bus in ("s_axis", "m_axis", "s_axil"):
            connect_checked(m, getattr(executor, bus), wiring.flipped(getattr(self, bus)))
        return m
