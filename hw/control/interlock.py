"""Which buffer pages are in use: the whole hazard rule of the device.

A RUN holds one page of each kind from the moment it is accepted; a LOAD or SETTINGS that would
change a page waits until no RUN holds it.
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.array import PAGE_NUMBERS, PAGES, RELEASE, RELEASE_SETTINGS


class Interlock(wiring.Component):
    """Count the RUNs under way on each page.

    At most `most` RUNs may hold one page; while one page is held by so many, `full` is set and no
    further RUN may be acquired.
    Latency: a change shows in the next cycle. One RUN may be acquired and one released a cycle.

    Members
    -------
    acquire : In({valid, pages, settings}), a RUN begins; `settings` if it holds a settings page
    release : In({valid, pages}), a RUN has read its buffers; its settings page is released apart
    release_settings : In({valid, page})
    busy : Out, a bit for each page of a kind: it is in use
    full : Out(1), no further RUN may be acquired
    """

    def __init__(self, config: Config, most: int):
        self.most = most
        pages = PAGES(config)
        super().__init__(
            {
                "acquire": In(
                    wiring.Signature(
                        {"valid": Out(1), "pages": Out(PAGE_NUMBERS(config)), "settings": Out(1)}
                    )
                ),
                "release": In(RELEASE(config)),
                "release_settings": In(RELEASE_SETTINGS(config)),
                "busy": Out(wiring.Signature({kind: Out(n) for kind, n in pages.items()})),
                "full": Out(1),
            }
        )
        self.counts = {
            (kind, page): Signal(range(most + 1), name=f"{kind}_{page}")
            for kind, count in pages.items()
            for page in range(count)
        }

    def elaborate(self, platform):
        m = Module()
        for (kind, page), count in self.counts.items():
            acquire = self.acquire.valid & (self.acquire.pages[kind] == page)
            if kind == "settings":
                acquire = acquire & self.acquire.settings
                release = self.release_settings.valid & (self.release_settings.page == page)
            else:
                release = self.release.valid & (self.release.pages[kind] == page)
            m.d.sync += count.eq(count + acquire - release)
            m.d.comb += getattr(self.busy, kind)[page].eq(count != 0)
            with m.If(count == self.most):
                m.d.comb += self.full.eq(1)
        return m
