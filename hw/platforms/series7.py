"""AMD's 7 series with a serial line: its PLL, for `hw.platforms.pll`, and pins as XDC.

Cell: AMD UG472, `PLLE2_BASE`.
"""

from amaranth import Const, Instance, Module, Signal

from .pins import clock_hz, pins
from .pll import Dividers, Loop, Pll


def _plle2(m: Module, clk: Signal, d: Dividers, out: Signal, locked: Signal):
    feedback, raw = Signal(name="pll_feedback"), Signal(name="pll_raw")
    m.submodules.pll = Instance(
        "PLLE2_BASE",
        p_CLKIN1_PERIOD=1e9 / d.input_hz,
        p_DIVCLK_DIVIDE=d.reference,
        p_CLKFBOUT_MULT=d.feedback,
        p_CLKOUT0_DIVIDE=d.post,
        i_CLKIN1=clk,
        i_CLKFBIN=feedback,
        i_RST=Const(0),
        i_PWRDWN=Const(0),
        o_CLKFBOUT=feedback,
        o_CLKOUT0=raw,
        o_LOCKED=locked,
    )
    m.submodules.buffer = Instance("BUFG", i_I=raw, o_O=out)


SERIES7 = Pll(
    _plle2,
    "DS181, PLL Specification, speed grades -1 and -1LI; dividers: UG472",
    references=range(1, 57),
    feedbacks=range(2, 65),
    posts=tuple(range(1, 129)),
    input_hz=(19e6, 800e6),
    detector_hz=(19e6, 450e6),
    oscillator_hz=(800e6, 1600e6),
    output_hz=(6.25e6, 800e6),
    loop=Loop.OSCILLATOR,
)


def xdc(board) -> str:
    """Vivado's constraints for `hw.platforms.top.BoardTop`: pins, oscillator, the banks' supply.

    All of the board's pins that are used are of 3.3 V banks, as the configuration pins are.
    """
    placed = pins(board)
    lines = []
    for port, pin in placed.items():
        lines.append(f"set_property PACKAGE_PIN {pin.site} [get_ports {port}]")
        for name, value in pin.attributes.items():
            lines.append(f"set_property {name} {value} [get_ports {port}]")
    lines += [
        f"create_clock -name clk -period {1e9 / clock_hz(board):.3f} [get_ports clk]",
        "# The serial line is sampled; LEDs are looked at.",
        "set_false_path -from [get_ports rx]",
    ]
    outputs = [port for port in placed if port not in ("clk", "rx")]
    lines += [f"set_false_path -to [get_ports {port}]" for port in outputs]
    lines += [
        "set_property CFGBVS VCCO [current_design]",
        "set_property CONFIG_VOLTAGE 3.3 [current_design]",
    ]
    return "\n".join([*lines, ""])
