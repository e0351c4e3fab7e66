"""Recipes against their definitions, worked out by hand or by trying everything."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from heddle.sw.compiler import nm
from heddle.sw.nn import data, trainer
from heddle.sw.nn.optimisers import Adam
from heddle.sw.nn.recipes import LAST, RECIPES, Moment, mvue, transposable
from heddle.sw.nn.recipes.gradual import Gradual, MdGf, SdGf
from heddle.sw.nn.recipes.kept import Kept, Static
from heddle.sw.nn.recipes.s_ste import SSte
from heddle.sw.nn.recipes.sdgp import Sdgp
from heddle.sw.nn.recipes.step import Step

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_packed_is_sparse_and_what_is_not_is_dense(name):
    """After the last step, whatever weights there are; seen twice, the same."""
    rule = RECIPES[name](2, 8)
    weights = RNG.standard_normal((24, 9)).astype("f4")
    rule.prune(weights, Moment(0, 10))
    made = rule.prune(weights, LAST)
    if "FF" in rule.SPARSE:
        nm.check(made.forward, 2, 8)
        assert np.count_nonzero(made.forward) == 2 * 3 * 9
        assert np.array_equal(made.mask, made.forward != 0)
    else:
        assert np.array_equal(made.forward, weights) and made.mask.all()
    again = rule.prune(weights, LAST)
    assert np.array_equal(again.forward, made.forward)
    assert np.array_equal(again.backward, made.backward)


@pytest.mark.parametrize("name", ["bdwp", "kept", "static", "transposable"])
def test_backward_weights_are_sparse_along_the_outputs(name):
    rule = RECIPES[name](2, 4)
    weights = RNG.standard_normal((16, 16))
    made = rule.prune(weights, LAST)
    nm.check(made.backward, 2, 4, axis=1)
    if name != "bdwp":  # a weight that counts backward counts forward too
        assert not (made.backward != 0)[~made.mask].any()


def test_soft_thresholds():
    rule = SSte(2, 4)
    made = rule.prune(np.array([[4.0], [-3], [1], [0.5]]), Moment(0, 9)).forward
    soft, beta = np.array([3, -2, 0, 0]), (4 * 3 + 3 * 2) / (3 * 3 + 2 * 2)
    assert made.ravel() == pytest.approx(soft * beta)
    made = rule.prune(np.array([[0.0], [2], [6], [-5]]), Moment(1, 9)).forward
    assert made.ravel() == pytest.approx(np.array([0, 0, 4, -3]) * beta)  # the first one's


def test_data_gradients():
    """Of each pixel the larger channel; a channel of the sample as large as it was."""
    rule = Sdgp(1, 2)
    made = rule.errors(np.array([[[4.0, 1], [3, -5], [1, 0]]]))
    left = np.array([[4.0, 0], [0, -5], [1, 0]])
    assert made[0] == pytest.approx(left * [8 / 5, 6 / 5], rel=1e-4)


def test_masks_that_are_held():
    rule, first = Static(1, 2), np.array([[1.0, 2], [3, -1]])
    rule.prune(first, Moment(0, 9))
    made = rule.prune(np.array([[7.0, 8], [5, 9]]), Moment(1, 9))
    assert made.forward.tolist() == [[0, 8], [5, 0]] == made.backward.tolist()
    dw = rule.gradient(np.full((2, 2), 3.0), first, made)
    assert dw.tolist() == [[0, 3], [3, 0]]


def test_masks_that_are_held_later():
    """Till then as BDWP, the pruned weights' gradients and their pull too."""
    rule, weights = Kept(1, 2, pull=0.5), np.array([[1.0, 2], [3, -1]])
    made = rule.prune(weights, Moment(2, 10))
    assert rule.frozen is None and made.backward.tolist() == [[0, 2], [3, 0]]
    assert rule.gradient(np.zeros((2, 2)), weights, made).tolist() == [[0.5, 0], [0, -0.5]]
    rule.prune(weights, Moment(3, 10))
    assert rule.frozen is not None and rule.frozen.tolist() == [[False, True], [True, False]]


def test_the_ninety_patterns():
    known = transposable.patterns()
    assert len(known) == 90 == len({mask.tobytes() for mask in known})
    lines = [line for line in product((0, 1), repeat=4) if sum(line) == 2]
    all_ = [np.array(rows) for rows in product(lines, repeat=4)]
    good = [mask for mask in all_ if (mask.sum(axis=0) == 2).all()]
    for size in RNG.random((50, 4, 4)):
        best = max((size * mask).sum() for mask in good)
        assert (size * transposable.best_2_of_4(size)).sum() == pytest.approx(best)


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (2, 8), (1, 8), (4, 16)])
def test_exchanges(n, m):
    """N in each row and column; no two kept elements gain anything by changing columns."""
    blocks = RNG.random((3, m, m))
    masks = transposable.exchanged(blocks, n)
    assert (masks.sum(axis=1) == n).all() and (masks.sum(axis=2) == n).all()
    for size, mask in zip(blocks, masks, strict=True):
        for (i, j), (p, q) in product(np.argwhere(mask), repeat=2):
            if not mask[i, q] and not mask[p, j]:
                assert size[i, q] + size[p, j] <= size[i, j] + size[p, q] + 1e-12


def test_exchanges_beside_the_best():
    blocks = RNG.random((500, 4, 4))
    best = (blocks * transposable.best_2_of_4(blocks)).sum()
    assert 0.99 * best < (blocks * transposable.exchanged(blocks, 2)).sum() <= best


@pytest.mark.parametrize(
    ("group", "n", "chances"),
    [
        ([3.0, -1], 1, [0.75, 0.25]),
        ([4, 2, 1, -1], 2, [1, 0.5, 0.25, 0.25]),
        ([10, 1, -1, 0], 2, [1, 0.5, 0.5, 0]),
        ([5, 0, 0, 0], 2, [1, 0, 0, 0]),
        ([0, 0, 0, 0], 2, [0, 0, 0, 0]),
        ([8, 8, 1, 1, 1, 1, 0, 0], 3, [1, 1, 0.25, 0.25, 0.25, 0.25, 0, 0]),
    ],
)
def test_what_is_drawn_is_right_on_average(group, n, chances):
    """Over all numbers that could be drawn: each element as often as its probability says, and the
    mean is the group. No more than N are kept, and N if so many are not zero."""
    group = np.array(group, float)
    assert mvue.probabilities(group, n) == pytest.approx(chances)
    uniform = (np.arange(400) + 0.5) / 400
    made = mvue.drawn(np.tile(group, (400, 1)), n, uniform)
    assert made.mean(axis=0) == pytest.approx(group)
    assert (np.count_nonzero(made, axis=1) == min(n, np.count_nonzero(group))).all()


def test_what_is_drawn_depends_on_seed_layer_step_and_place_alone():
    dy = RNG.standard_normal((18, 5)).astype("f4")
    rule = mvue.Mvue(2, 4, key=(7, 1))
    first = rule.samples(dy, Moment(3, 9))
    assert np.array_equal(first, mvue.Mvue(2, 4, key=(7, 1)).samples(dy, Moment(3, 9)))
    assert first.shape == dy.shape and first.dtype == dy.dtype
    nm.check(first, 2, 4)
    for other in (mvue.Mvue(2, 4, key=(8, 1)), mvue.Mvue(2, 4, key=(7, 2))):
        assert not np.array_equal(first, other.samples(dy, Moment(3, 9)))
    assert not np.array_equal(first, rule.samples(dy, Moment(4, 9)))


def test_n_that_shrinks():
    assert [Gradual(2, 8).pattern(Moment(i, 100)) for i in (0, 14, 35, 69, 70, 99)] == [
        *(8, 5, 3, 2, 2, 2)
    ]
    flow = MdGf(2, 8)
    assert [flow.left(Moment(i, 10)) for i in (0, 1, 4, 7, 9)] == pytest.approx([1, 1, 0.5, 0, 0])
    made = flow.prune(np.arange(1.0, 9)[:, None], Moment(4, 10)).forward
    assert made.ravel() == pytest.approx([0.5, 1, 1.5, 2, 2.5, 3, 7, 8])
    steps = [SdGf(2, 8).pattern(Moment(i, 100)) for i in (0, 9, 10, 29, 30, 49, 50, 69, 99)]
    assert steps == [8, 8, 7, 7, 4, 4, 2, 2, 2]
    assert SdGf(1, 16).pattern(Moment(99, 100)) == 1


def test_adam_by_hand():
    """Two steps of Kingma and Ba's algorithm, and one with squares that stay."""
    weights, adam = np.array([1.0]), Adam(np.zeros(1), np.zeros(1), (0.5, 0.75), 1e-8)
    adam.update(weights, np.array([2.0]), 0.1)
    # Means 1 and 1; without their bias 2 and 4.
    assert weights == pytest.approx(1 - 0.1 * 2 / 2) and adam.changed == pytest.approx(1)
    adam.update(weights, np.array([-1.0]), 0.1)
    # Means 0 and 1: 0 and 1 / (1 - 9/16).
    assert weights == pytest.approx(0.9) and adam.square == pytest.approx(1)
    adam.frozen = True
    adam.update(weights, np.array([7.0]), 0.1)
    # Mean 3.5 of 1 - 1/8; the square is as it was.
    assert weights == pytest.approx(0.9 - 0.1 * 4 / 1, rel=1e-5) and adam.square == 1


@pytest.mark.parametrize(("changed", "begins"), [(1e-12, 1000), (1.0, 2500)])
def test_masks_come_when_squares_have_settled(changed, begins):
    """After a tenth of 5,000 steps, if a thousand have changed little; after half of them else."""
    rule, adam, weights = Step(1, 2), Adam(np.zeros(1), np.zeros(1)), np.array([[1.0], [2]])
    adam.changed = changed
    for step in range(5000):
        masked = (rule.prune(weights, Moment(step, 5000)).forward == 0).any()
        assert masked == (step >= begins) == adam.frozen, step
        rule.updated(adam, Moment(step, 5000))


def test_churn_counts_what_moves():
    layer = trainer.Layer(np.array([[3.0, 1], [1, 2]]), np.zeros(2), 1, 2)
    learning = trainer.Learning.of(layer, trainer.Recipe(n=1, m=2))
    for mask in ([[1, 0], [0, 1]], [[1, 0], [0, 1]], [[0, 0], [1, 1]]):
        learning.saw(np.array(mask, bool))
    assert learning.churn == [0, 2]


@pytest.mark.parametrize("method", trainer.METHODS)
def test_every_recipe_learns(method):
    digits = data.load()
    recipe = trainer.Recipe(
        hidden=(64,), method=method, epochs=12, rate=2e-3 if method == "step" else 0.1
    )
    layers = trainer.train(digits, recipe)
    hidden = np.maximum(digits.test_x @ layers[0].used() + layers[0].bias, 0)
    scores = hidden @ layers[1].used() + layers[1].bias
    assert (scores.argmax(axis=1) == digits.test_y).mean() > 0.9


def test_what_an_array_multiplies():
    """Of every eight: forward, backward, for the weights' gradient; at the start and at the end."""
    dense, ends = {"FF": 8, "BP": 8, "WU": 8}, (Moment(0, 100), Moment(99, 100))
    wanted = {
        "bdwp": [{"FF": 2, "BP": 2, "WU": 8}] * 2,
        "kept": [{"FF": 2, "BP": 2, "WU": 8}, {"FF": 2, "BP": 2, "WU": 2}],
        "static": [{"FF": 2, "BP": 2, "WU": 2}] * 2,
        "sr-ste": [dense | {"FF": 2}] * 2,
        "s-ste": [dense | {"FF": 2, "WU": 2}] * 2,
        "transposable": [{"FF": 2, "BP": 2, "WU": 8}] * 2,
        "mvue": [dense | {"WU": 2}] * 2,
        "sdgp": [dense | {"BP": 2}] * 2,
        "step": [dense, dense | {"FF": 2}],
        "gradual": [dense, dense | {"FF": 2}],
        "md-gf": [dense, dense | {"FF": 2}],
        "sd-gf": [dense, dense | {"FF": 2}],
        "dense": [dense] * 2,
    }
    assert wanted.keys() == RECIPES.keys()
    for name, both in wanted.items():
        rule = RECIPES[name](*((8, 8) if name == "dense" else (2, 8)))
        assert [rule.products(moment) for moment in ends] == both, name
    assert RECIPES["kept"](2, 8).products(Moment(29, 100))["WU"] == 8
    assert RECIPES["kept"](2, 8).products(Moment(30, 100))["WU"] == 2


def test_the_table_of_recipes():
    """docs/training.md says of each what it says itself, and of no others."""
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    table = page.split("| `--method` | FF |")[1].split("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[0].strip("`") for row in rows] == list(RECIPES)
    for name, *products, source in rows:
        rule = RECIPES[name.strip("`")]
        named = zip(("FF", "BP", "WU"), products, strict=True)
        sparse = [product for product, cell in named if cell != "dense"]
        assert (*sparse, source) == (*rule.SPARSE, rule.SOURCE), name
