"""AXI4's rules for a master, watched on a port ``m_axi``."""

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.config import Config

PAGE = 1 << 12
BURST = ("addr", "len", "size", "burst", "id", "cache", "prot")
CHANNELS = {"ar": BURST, "aw": BURST, "w": ("data", "strb", "last")}
"""Those that the device drives, and what goes with their VALID."""


class AxiRules:
    """Offers stand, bursts stay in a page, whole beats, INCR; and the bursts that there were."""

    def __init__(self, dut, config: Config):
        self.dut, self.config = dut, config
        self.bursts: dict[str, list[tuple[int, int]]] = {"ar": [], "aw": []}
        """Addresses and beats of all bursts, by channel."""
        cocotb.start_soon(self._watch())

    async def _watch(self):
        waiting = {}
        while True:
            await RisingEdge(self.dut.clk)
            for channel, fields in CHANNELS.items():
                offer = {f: int(getattr(self.dut, f"m_axi_{channel}{f}").value) for f in fields}
                valid = int(getattr(self.dut, f"m_axi_{channel}valid").value)
                if before := waiting.pop(channel, None):
                    assert valid and offer == before, f"{channel}: an offer was changed"
                if valid and not int(getattr(self.dut, f"m_axi_{channel}ready").value):
                    waiting[channel] = offer
                elif valid and channel != "w":
                    self._burst(channel, offer)

    def _burst(self, channel: str, offer: dict[str, int]):
        beat, beats = self.config.stream_bytes, offer["len"] + 1
        assert (1 << offer["size"], offer["burst"]) == (beat, 1)
        assert offer["addr"] % beat == 0
        assert offer["addr"] % PAGE + beats * beat <= PAGE, "a burst leaves its page"
        self.bursts[channel].append((offer["addr"], beats))
