"""AMBA's buses as signatures, by the names of their specifications, seen from who offers.

In the generated Verilog a bus's ports are its name, one underscore, and these (``m_axi_arvalid``):
what other people's tools look for.
Sources: AMBA AXI4-Stream (ARM IHI 0051), AMBA AXI and AXI4-Lite (ARM IHI 0022).
"""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Bus(wiring.Signature):
    """A signature of AMBA's; buses of one kind and the same widths are equal."""

    standard_names = True

    def __eq__(self, other):
        return type(self) is type(other) and self.members == other.members


class AxiStream(Bus):
    """A stream of packets, `width` bits a beat; `tlast` ends one."""

    def __init__(self, width: int):
        super().__init__({"tdata": Out(width), "tvalid": Out(1), "tready": In(1), "tlast": Out(1)})


class AxiLite(Bus):
    """Registers of 32 bits, seen from the master."""

    def __init__(self, address_bits: int):
        super().__init__(
            {
                "awaddr": Out(address_bits),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(address_bits),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class Axi4Read(Bus):
    """The channels of reading, seen from the master; no user signals, one ID bit."""

    def __init__(self, width: int, address_bits: int):
        super().__init__(
            {
                **_request("ar", address_bits),
                "rid": In(1),
                "rdata": In(width),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class Axi4Write(Bus):
    """The channels of writing, seen from the master; no user signals, one ID bit."""

    def __init__(self, width: int, address_bits: int):
        super().__init__(
            {
                **_request("aw", address_bits),
                "wdata": Out(width),
                "wstrb": Out(width // 8),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bid": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )


class Axi4(Bus):
    """Both halves."""

    def __init__(self, width: int, address_bits: int):
        halves = Axi4Read(width, address_bits), Axi4Write(width, address_bits)
        super().__init__({name: port for half in halves for name, port in half.members.items()})


def _request(channel: str, address_bits: int) -> dict[str, wiring.Member]:
    return {
        f"{channel}id": Out(1),
        f"{channel}addr": Out(address_bits),
        f"{channel}len": Out(8),
        f"{channel}size": Out(3),
        f"{channel}burst": Out(2),
        f"{channel}cache": Out(4),
        f"{channel}prot": Out(3),
        f"{channel}valid": Out(1),
        f"{channel}ready": In(1),
    }
