"""The accelerator behind a serial line: what a board with a UART instantiates."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bus.axi_ram import AxiRam
from .bus.bursts import width_of
from .config import Config
from .lib.connect import connect_checked
from .lib.library import Library
from .link.link import Link
from .link.uart import FRAME_BITS, Receiver, Transmitter, divisor
from .top import Accelerator

WATCHDOG_SECONDS = 0.1
WATCHDOG_BYTES = 1000
"""A frame may pause this long, whichever is longer."""


class SerialAccelerator(wiring.Component):
    """Receiver, transmitter, link and accelerator in the `sync` domain of `clock_hz`; external
    memory, if the configuration has one, is on the chip.

    Raises `ConfigError` if the clock cannot make `baud`.

    Members
    -------
    rx, tx : In(1), Out(1), the serial line: 8 data bits, no parity, 1 stop bit; idle is high
    busy : Out(1), a request is under way
    error : Out(1), the last frame was damaged or refused
    """

    def __init__(self, config: Config, clock_hz: float, baud: int, library: Library | None = None):
        self.config = config
        self.clock_hz = clock_hz
        self.baud = baud
        self.library = library
        self.divisor = divisor(clock_hz, baud)
        super().__init__(
            {"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1), "error": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        watchdog = max(
            round(self.clock_hz * WATCHDOG_SECONDS), WATCHDOG_BYTES * FRAME_BITS * self.divisor
        )
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.transmitter = transmitter = Transmitter(self.divisor)
        m.submodules.link = link = Link(self.config, watchdog)
        m.submodules.accelerator = accelerator = Accelerator(self.config, self.library)
        wiring.connect(m, link.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            link.i_valid.eq(receiver.valid),
            link.i_data.eq(receiver.data),
            self.busy.eq(link.busy),
            self.error.eq(link.error),
        ]
        for bus in ("s_axis", "m_axis", "s_axil"):
            connect_checked(m, getattr(link, bus), getattr(accelerator, bus))
        if bits := self.config.external_bits:
            m.submodules.external = ram = AxiRam(width_of(self.config), bits)
            connect_checked(m, accelerator.m_axi, ram.s_axi)
        return m
