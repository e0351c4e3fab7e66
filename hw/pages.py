"""Which buffer pages are in use: the whole hazard rule of the device.

A RUN holds one page of each kind from the moment it is accepted; a LOAD or CHANNEL that would
change a page waits until no RUN holds it.
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .layouts import PAGES, RELEASE, RELEASE_CHANNEL

KINDS = tuple(PAGES.members)


class PageGuard(wiring.Component):
    """Count the RUNs under way on each page.

    At most `most` RUNs may hold one page; `full` asks for patience before it is reached.
    Latency: a change shows in the next cycle. One RUN may be acquired and one released a cycle.

    Members
    -------
    acquire : In({valid, pages, channel}), a RUN begins; `channel` if it holds a channel page
    release : In({valid, pages}), its buffers are read (the channel page is not meant)
    release_channel : In({valid, page})
    busy : Out, two bits a kind: its pages are in use
    full : Out(1), no further RUN may be acquired
    """

    def __init__(self, most: int):
        self.most = most
        super().__init__(
            {
                "acquire": In(
                    wiring.Signature({"valid": Out(1), "pages": Out(PAGES), "channel": Out(1)})
                ),
                "release": In(RELEASE),
                "release_channel": In(RELEASE_CHANNEL),
                "busy": Out(wiring.Signature({kind: Out(2) for kind in KINDS})),
                "full": Out(1),
            }
        )
        self.counts = {
            (kind, page): Signal(range(most + 1), name=f"{kind}_{page}")
            for kind in KINDS
            for page in range(2)
        }

    def elaborate(self, platform):
        m = Module()
        for (kind, page), count in self.counts.items():
            acquire = self.acquire.valid & (self.acquire.pages[kind] == page)
            if kind == "channel":
                acquire = acquire & self.acquire.channel
                release = self.release_channel.valid & (self.release_channel.page == page)
            else:
                release = self.release.valid & (self.release.pages[kind] == page)
            m.d.sync += count.eq(count + acquire - release)
            m.d.comb += getattr(self.busy, kind)[page].eq(count != 0)
            with m.If(count == self.most):
                m.d.comb += self.full.eq(1)
        return m
