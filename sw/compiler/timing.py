"""How long a device takes for the steps of a plan: what plans are compared by.

A model of the command stream, the array and the pages, in whole cycles. It leaves out latencies of
a few cycles; what a device really took, its counters say.
"""

from collections import deque
from collections.abc import Iterable

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.maps import chunks
from .steps import Load, Page, Sent, Setting, Step

CHECK_CYCLES, COMPACT_CHECK_CYCLES = 3, 20
"""What the device takes for a command besides its beats; a compact one, mostly for its check."""


class Clock:
    """When the stream is free for the next command, and until when the array has work.

    `settings` and `reloads` say whether those cost time: without them the clock shows what they
    cost. Without `reloads` no page is waited for either, as if there were always another one.
    """

    def __init__(self, config: Config, settings: bool = True, reloads: bool = True):
        self.config = config
        self.stream = self.array = self.waited = 0
        """Cycles; `waited` counts those in which the array had no RUN though it had begun."""
        self._settings, self._reloads = settings, reloads
        check = COMPACT_CHECK_CYCLES if config.compact else CHECK_CYCLES
        self._header = check + config.header_beats
        self._per_word = {target: kind.per_word for target, kind in chunks(config).items()}
        self._free: dict[Page | int, int] = {}
        self._joined: tuple[Page | None, set[Target]] = (None, set())
        """The page that the loads just before went into, and the buffers: more for them goes into
        the same commands (`plan.merged`)."""
        self._begun: deque[int] = deque(maxlen=max(1, config.queue(config.runs_ahead)))
        self._skew = 1 + max(config.rows, config.columns)
        self._way_out = config.tile_rows * config.columns_per_epilogue + config.columns + 40

    def cost(self, step: Load | Setting) -> int:
        """Cycles that a step occupies the stream: a load is dealt a chunk a cycle."""
        if isinstance(step, Setting):
            return step.commands * self._header
        if step.again and not self._reloads:
            return 0
        page, targets = self._joined
        header = 0 if page == step.page and step.target in targets else self._header
        return len(step.words) * self._per_word[step.target] + header

    def after(self, step: Load | Setting) -> int:
        """When the step would be done if it were next."""
        start = self.stream
        if isinstance(step, Setting) and not self._settings:
            return start
        if self._reloads:
            # A load that waits for its page has had its header checked meanwhile.
            start = max(start, self._free.get(step.page, 0) - self._header)
        return start + self.cost(step)

    def take(self, step: Step) -> None:
        """The next step of the plan."""
        if isinstance(step, Sent):
            self._run(step)
        else:
            self.stream = self.after(step)
        if isinstance(step, Load):
            page, targets = self._joined
            self._joined = step.page, (targets if page == step.page else set()) | {step.target}
        else:
            self._joined = None, set()

    def _run(self, sent: Sent) -> None:
        ready = self.stream + self._header
        if len(self._begun) == self._begun.maxlen:
            ready = max(ready, self._begun[0])
        begin = max(ready, self.array)
        self.waited += begin - self.array if self.array else 0
        self._begun.append(begin)
        self.stream, self.array = ready, begin + sent.run.cycles
        for page in sent.run.pages:
            self._free[page] = self.array + self._skew
        if sent.run.finish:
            self._free[sent.settings_page] = self.array + self._way_out


def waits(config: Config, steps: Iterable[Step]) -> dict[str, int]:
    """Cycles that the array waits for its commands, by what keeps them: `settings`, `pages` (what
    is loaded again, or must wait for a page), `host` (all else that comes through the stream)."""
    steps = list(steps)

    def waited(**without: bool) -> int:
        clock = Clock(config, **without)
        for step in steps:
            clock.take(step)
        return clock.waited

    plain = waited(settings=False)
    host = min(plain, waited(settings=False, reloads=False))
    return {"settings": max(0, waited() - plain), "pages": plain - host, "host": host}
