"""The PLLs of the families that open tools place and route: their cells and their limits."""

from amaranth import Const, Instance, Module, Signal

from .pll import MHZ, Dividers, Loop, Pll


def _ecp5(m: Module, clk: Signal, d: Dividers, out: Signal, locked: Signal):
    """EHXPLLL (Lattice FPGA-TN-02200). CLKOP goes back; it is the output too if its divider is.

    The loop filter's settings are those that Lattice's tools write; nextpnr's defaults differ.
    """
    looped = out
    second = {}
    if d.loop != d.post:
        looped = Signal(name="pll_loop")
        second = dict(
            a_FREQUENCY_PIN_CLKOS=f"{d.output_hz / MHZ:g}",
            p_OUTDIVIDER_MUXB="DIVB",
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=d.post,
            p_CLKOS_CPHASE=0,
            p_CLKOS_FPHASE=0,
            o_CLKOS=out,
        )
    m.submodules.pll = Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKI=f"{d.input_hz / MHZ:g}",
        a_FREQUENCY_PIN_CLKOP=f"{d.loop_hz / MHZ:g}",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
        p_PLLRST_ENA="DISABLED",
        p_INTFB_WAKE="DISABLED",
        p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA",
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=d.loop,
        p_CLKOP_CPHASE=d.loop // 2,
        p_CLKOP_FPHASE=0,
        p_FEEDBK_PATH="CLKOP",
        p_CLKI_DIV=d.reference,
        p_CLKFB_DIV=d.feedback,
        i_CLKI=clk,
        i_CLKFB=looped,
        i_RST=Const(0),
        i_STDBY=Const(0),
        i_PHASESEL0=Const(0),
        i_PHASESEL1=Const(0),
        i_PHASEDIR=Const(1),
        i_PHASESTEP=Const(1),
        i_PHASELOADREG=Const(1),
        i_PLLWAKESYNC=Const(0),
        i_ENCLKOP=Const(0),
        o_CLKOP=looped,
        o_LOCK=locked,
        **second,
    )


def _ice40(m: Module, clk: Signal, d: Dividers, out: Signal, locked: Signal):
    """SB_PLL40_PAD (Lattice FPGA-TN-02052)."""
    # The loop filter's setting for each range of the compared frequency.
    filter_range = 1 + sum(d.detector_hz >= MHZ * edge for edge in (17, 26, 44, 66, 101))
    m.submodules.pll = Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        p_PLLOUT_SELECT="GENCLK",
        p_DIVR=Const(d.reference - 1, 4),
        p_DIVF=Const(d.feedback - 1, 7),
        p_DIVQ=Const(d.post.bit_length() - 1, 3),
        p_FILTER_RANGE=Const(filter_range, 3),
        i_PACKAGEPIN=clk,
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=out,
        o_LOCK=locked,
    )


def _gw1n9(m: Module, clk: Signal, d: Dividers, out: Signal, locked: Signal):
    """rPLL (Gowin UG286)."""
    m.submodules.pll = Instance(
        "rPLL",
        p_DEVICE="GW1NR-9C",
        p_FCLKIN=f"{d.input_hz / MHZ:g}",
        p_DYN_IDIV_SEL="false",
        p_IDIV_SEL=d.reference - 1,
        p_DYN_FBDIV_SEL="false",
        p_FBDIV_SEL=d.feedback - 1,
        p_DYN_ODIV_SEL="false",
        p_ODIV_SEL=d.post,
        p_CLKFB_SEL="internal",
        p_CLKOUT_BYPASS="false",
        i_CLKIN=clk,
        i_CLKFB=Const(0),
        i_RESET=Const(0),
        i_RESET_P=Const(0),
        i_IDSEL=Const(0, 6),
        i_FBDSEL=Const(0, 6),
        i_ODSEL=Const(0, 6),
        i_PSDA=Const(0, 4),
        i_DUTYDA=Const(0, 4),
        i_FDLY=Const(0, 4),
        o_CLKOUT=out,
        o_LOCK=locked,
    )


ECP5 = Pll(
    _ecp5,
    "FPGA-DS-02012, sysCLOCK PLL Timing; dividers: FPGA-TN-02200",
    references=range(1, 129),
    feedbacks=range(1, 81),
    posts=tuple(range(1, 129)),
    input_hz=(8e6, 400e6),
    detector_hz=(10e6, 400e6),
    oscillator_hz=(400e6, 800e6),
    output_hz=(3.125e6, 400e6),
    loop=Loop.ANY_OUTPUT,
)
ICE40 = Pll(
    _ice40,
    "FPGA-DS-02008, sysCLOCK PLL Timing; dividers: FPGA-TN-02052",
    references=range(1, 17),
    feedbacks=range(1, 129),
    posts=(2, 4, 8, 16, 32, 64),
    input_hz=(10e6, 133e6),
    detector_hz=(10e6, 133e6),
    oscillator_hz=(533e6, 1066e6),
    output_hz=(16e6, 275e6),
    loop=Loop.OSCILLATOR,
)
GW1N9 = Pll(
    _gw1n9,
    "DS117, PLL Switching Characteristics, GW1NR-9 of speed grade C6/I5; dividers: UG286",
    references=range(1, 65),
    feedbacks=range(1, 65),
    posts=(2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
    input_hz=(3e6, 400e6),
    detector_hz=(3e6, 400e6),
    oscillator_hz=(400e6, 1200e6),
    output_hz=(3.125e6, 600e6),
    loop=Loop.OUTPUT,
)
