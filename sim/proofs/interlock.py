"""Interlock: no count wraps, and a page is busy exactly while a RUN holds it."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.control.interlock import Interlock
from ...hw.layouts.array import PAGE_NUMBERS


class InterlockProof(wiring.Component):
    """Counts the holders of each page without a bound, under the interlock's contract: nothing is
    acquired while it is full, and only what is held is released."""

    def __init__(self, config: Config, most: int):
        self.config = config
        self.most = most
        super().__init__(
            {
                "acquire": In(1),
                "acquired": In(PAGE_NUMBERS(config)),
                "settings": In(1),
                "release": In(1),
                "released": In(PAGE_NUMBERS(config)),
                "release_settings": In(1),
                "released_settings": In(range(config.settings_pages)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.interlock = interlock = Interlock(self.config, self.most)
        m.d.comb += [
            interlock.acquire.valid.eq(self.acquire),
            interlock.acquire.pages.eq(self.acquired),
            interlock.acquire.settings.eq(self.settings),
            interlock.release.valid.eq(self.release),
            interlock.release.pages.eq(self.released),
            interlock.release_settings.valid.eq(self.release_settings),
            interlock.release_settings.page.eq(self.released_settings),
            Assume(~(self.acquire & interlock.full)),
            Cover(interlock.full),
        ]
        for (kind, page), count in interlock.counts.items():
            begin = self.acquire & (self.acquired[kind] == page)
            end = self.release & (self.released[kind] == page)
            if kind == "settings":
                begin = begin & self.settings
                end = self.release_settings & (self.released_settings == page)
            held = Signal(16, name=f"held_{kind}_{page}")
            m.d.sync += held.eq(held + begin - end)
            m.d.comb += [
                Assume(~end | (held != 0)),
                Assert(held <= self.most),
                Assert(count == held),
                Assert(getattr(interlock.busy, kind)[page] == (held != 0)),
                Cover(end & (held == 1) & ~begin),
            ]
        return m
