"""The top level of a board with a serial link: PLL, reset, accelerator, LEDs."""

from amaranth import ClockDomain, ClockSignal, Module
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from ..lib.library import Library
from ..serial_top import SerialAccelerator
from ..verilog import convert
from .boards import Board, Build
from .pins import clock_hz, held_high, pins
from .pll import Dividers, add_pll, dividers

TOP = "top"


def dividers_of(board: Board, build: Build) -> Dividers:
    """Those of the board's PLL, for the clock that the build asks for."""
    return dividers(board.pll, clock_hz(board), build.mhz * 1e6)


class BoardTop(wiring.Component):
    """What the pins of a board see.

    The PLL makes the only clock. The reset ends two of its cycles after it has locked.

    Members
    -------
    clk : In(1), the board's oscillator
    rx, tx : the serial line, as the FPGA names them
    busy, error : Out(1), LEDs, as the board's polarity wants them
    what `hw.platforms.pins.held_high` names : Out(1), high
    """

    def __init__(self, board: Board, build: Build, library: Library | None = None):
        self.board = board
        self.build = build
        self.library = library
        self._inverted = {name for name, pin in pins(board).items() if pin.invert}
        ports = {"clk": In(1), "rx": In(1), "tx": Out(1), "busy": Out(1), "error": Out(1)}
        super().__init__(ports | {port: Out(1) for port in held_high(board)})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        chosen = dividers_of(self.board, self.build)
        clock, locked = add_pll(m, self.board.pll, self.clk, chosen)
        m.d.comb += ClockSignal().eq(clock)
        m.submodules.reset = ResetSynchronizer(~locked)
        m.submodules.device = device = SerialAccelerator(
            self.build.config, chosen.output_hz, self.board.baud, self.library
        )
        m.d.comb += [device.rx.eq(self.rx), self.tx.eq(device.tx)]
        for name in ("busy", "error"):
            led = getattr(device, name)
            m.d.comb += getattr(self, name).eq(~led if name in self._inverted else led)
        m.d.comb += [getattr(self, port).eq(1) for port in held_high(self.board)]
        return m


def generate(board: Board, build: Build) -> str:
    """Verilog of the board's top level, module `top`."""
    library = Library()
    return convert(BoardTop(board, build, library), TOP, library)
