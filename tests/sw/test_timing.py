"""The planner's clock, by figures worked out here: 7 cycles a header of `tiny`, 4 a word."""

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.isa.codes import Target
from heddle.sw.compiler.steps import Load, Page, Run, Sent, Setting
from heddle.sw.compiler.timing import Clock, waits

TINY = preset("tiny")
FIRST, SECOND = Page("activations", 0), Page("activations", 1)


def load(page: Page, words: int, again: bool = False) -> Load:
    return Load(page, Target.ACTIVATIONS, 0, np.zeros((words, 4, 8), np.int8), again)


def run(page: Page, cycles: int) -> Sent:
    return Sent(Run(range(1), 0, (page,), {}, {}, True, cycles), 0)


def clock(*steps, **options) -> Clock:
    taken = Clock(TINY, **options)
    for step in steps:
        taken.take(step)
    return taken


def test_an_array_that_waits_for_its_second_load():
    """27 for the first load, 7 for the RUN, which works until 44. The second load is there at 61
    and its RUN at 68: 24 cycles of waiting."""
    steps = (load(FIRST, 5), run(FIRST, 10), load(SECOND, 5), run(SECOND, 10))
    done = clock(*steps)
    assert (done.stream, done.array, done.waited) == (68, 78, 24)
    assert waits(TINY, steps) == {"settings": 0, "pages": 0, "host": 24}


def test_a_load_that_hides_behind_a_run():
    done = clock(load(FIRST, 5), run(FIRST, 100), load(SECOND, 5), run(SECOND, 10))
    assert (done.array, done.waited) == (144, 0)


def test_what_is_loaded_again_is_the_pages_fault():
    steps = (load(FIRST, 5), run(FIRST, 5), load(SECOND, 5, again=True), run(SECOND, 10))
    # Without that load the second RUN is there at 41, 2 cycles after the first one's end.
    assert waits(TINY, steps) == {"settings": 0, "pages": 27, "host": 2}


def test_settings_that_are_waited_for():
    steps = (load(FIRST, 5), run(FIRST, 5), Setting(1, 1, 4), run(FIRST, 10))
    assert waits(TINY, steps) == {"settings": 28, "pages": 0, "host": 2}


@pytest.mark.parametrize("words, cost", [(1, 11), (5, 27)])
def test_what_a_load_costs(words, cost):
    assert Clock(TINY).cost(load(FIRST, words)) == cost
