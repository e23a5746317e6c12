"""CKA: its properties, an independent implementation, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.cka import CkaAccumulator, LayerGrams, compute_centered_gram, compute_layer_grams, stack_grams
from analysis.inputs.image_subset import ImageBatch
from backbones.create import create_backbone
from foundation.errors import BenchError, IncompleteError, UserError

Array = NDArray[np.float64]


def hsic1(one: Array, other: Array) -> float:
    """Song et al. 2012, equation 5, written out as in arXiv 2205.14443's code: no centring, traces and sums."""
    n = len(one)
    k, m = one @ one.T, other @ other.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    ones = np.ones((n, 1))
    trace = np.trace(k @ m)
    sums = (ones.T @ k @ ones).item() * (ones.T @ m @ ones).item() / ((n - 1) * (n - 2))
    cross = 2 / (n - 2) * (ones.T @ k @ m @ ones).item()
    return float((trace + sums - cross) / (n * (n - 3)))


def independent(pairs: list[tuple[Array, Array]]) -> float:
    """Minibatch CKA of two layers, over batches of features (n, C)."""
    cross, one, other = (np.mean([hsic1(pair[i], pair[j]) for pair in pairs]) for i, j in ((0, 1), (0, 0), (1, 1)))
    return float(cross / np.sqrt(one * other))


def names(count: int, start: int = 0) -> tuple[str, ...]:
    return tuple(f"image {number}" for number in range(start, start + count))


def cka(one: Tensor, other: Tensor, batch: int | None = None) -> float:
    sums = CkaAccumulator()
    for start in range(0, len(one), batch or len(one)):
        part = slice(start, start + (batch or len(one)))
        images = names(len(one[part]), start)
        sums.update(
            stack_grams(images, [("a", compute_centered_gram(one[part]))]),
            stack_grams(images, [("b", compute_centered_gram(other[part]))]),
        )
    return float(sums.compute()[0, 0])


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_all_pairs_equal_an_independent_implementation(random: torch.Generator) -> None:
    """Three layers against two, of other token counts and widths, far from the origin, in uneven batches."""
    base = torch.randn(50, 6, generator=random)
    shapes = [(5, 8), (3, 4), (1, 12), (7, 2), (4, 4)]
    layers = [
        (base @ torch.randn(6, a * b, generator=random)).reshape(50, a, b).tanh() * 3 + 100 * (a - 3)
        + 0.3 * torch.randn(50, a, b, generator=random)
        for a, b in shapes
    ]  # fmt: skip
    sums, cuts = CkaAccumulator(), [slice(0, 20), slice(20, 32), slice(32, 50)]
    for cut in cuts:
        images = names(cut.stop - cut.start, cut.start)
        grams = [(str(number), compute_centered_gram(layer[cut])) for number, layer in enumerate(layers)]
        sums.update(stack_grams(images, grams[:3]), stack_grams(images, grams[3:]))
    flat = [layer.flatten(1).double().numpy() for layer in layers]
    expected = [[independent([(one[cut], other[cut]) for cut in cuts]) for other in flat[3:]] for one in flat[:3]]
    np.testing.assert_allclose(sums.compute(), expected, rtol=0, atol=1e-6)
    assert sums.num_images == 50
    assert sums.num_batches == 3


def test_one_on_itself_and_invariances(random: torch.Generator) -> None:
    features = torch.randn(40, 10, generator=random, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(10, 10, generator=random, dtype=torch.float64))[0]
    skew = torch.diag(torch.logspace(-2, 2, 10, dtype=torch.float64)) @ turn
    other = features @ torch.randn(10, 7, generator=random, dtype=torch.float64)
    assert cka(features, features) == pytest.approx(1, abs=1e-12)
    assert cka(features, features @ turn) == pytest.approx(1, abs=1e-12)
    assert cka(features, 0.01 * features + 5) == pytest.approx(1, abs=1e-9)
    assert cka(features @ turn * 3, other) == pytest.approx(cka(features, other), abs=1e-12)
    assert cka(features, features @ skew) < 0.7, "an invertible map that is not orthogonal changes it"


def test_order_of_the_images_matters(random: torch.Generator) -> None:
    features = torch.randn(64, 10, generator=random)
    assert abs(cka(features, features.flip(0))) < 0.1


def test_minibatches_converge_to_the_full_batch(random: torch.Generator) -> None:
    """Two layers that share half of their variance, whose true CKA is 1/2; the estimate is of the same thing."""
    shared, first, second = (torch.randn(2048, 4, generator=random) for _ in range(3))
    one, other = torch.cat([shared, first], 1), torch.cat([shared, second], 1)
    full = cka(one, other)
    assert full == pytest.approx(0.5, abs=0.02)
    errors = [abs(cka(one[:count], other[:count], 32) - full) for count in (32, 256, 2048)]
    assert errors[2] < 0.02
    assert errors[2] < errors[0]


def test_unrelated_features_have_none(random: torch.Generator) -> None:
    """The biased estimator would say 0.9 here: more dimensions than images."""
    one, other = (torch.randn(32, 500, generator=random) for _ in range(2))
    assert abs(cka(one, other)) < 0.2


def test_unpaired_images_are_caught(random: torch.Generator) -> None:
    value = compute_centered_gram(torch.randn(6, 3, generator=random))
    first = stack_grams(names(6), [("a", value)])
    with pytest.raises(IncompleteError, match="image 0 is image 0 for one backbone and image 5 for the other"):
        CkaAccumulator().update(first, stack_grams(names(6)[::-1], [("b", value)]))
    with pytest.raises(IncompleteError, match="one backbone saw 6 images and the other 5"):
        CkaAccumulator().update(
            first, stack_grams(names(5), [("b", compute_centered_gram(torch.randn(5, 3, generator=random)))])
        )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_three_images_are_too_few(count: int) -> None:
    with pytest.raises(UserError, match=f"needs batches of 4 images or more, not {count}"):
        compute_centered_gram(torch.ones(count, 3))


def test_what_has_no_cka() -> None:
    with pytest.raises(BenchError, match="not finite"):
        compute_centered_gram(torch.full((5, 2), torch.nan))
    sums = CkaAccumulator()
    with pytest.raises(BenchError, match="no images"):
        sums.compute()
    same = stack_grams(names(5), [("norm1 3", compute_centered_gram(torch.ones(5, 2)))])
    sums.update(same, same)
    with pytest.raises(BenchError, match="layer norm1 3 gives all images the same features"):
        sums.compute()
    with pytest.raises(BenchError, match="layers changed"):
        sums.update(LayerGrams(names(5), ("x",), same.matrices), same)


def test_other_token_counts_and_depths_compare() -> None:
    """A Gram matrix is images by images, whatever the tokens are."""
    images = torch.randn(8, 3, 32, 32)
    batch = ImageBatch(tuple("abcdefgh"), images, torch.zeros(8))
    sides = []
    for name in ("vit_nano", "vit_pico"):
        model = create_backbone(name, checkpoint="random", num_classes=0).model.eval()
        sides.append(compute_layer_grams(model, batch, "papers", "cpu"))
    sums = CkaAccumulator()
    sums.update(*sides)
    assert sums.compute().shape == (5, 4)
    assert np.isfinite(sums.compute()).all()
