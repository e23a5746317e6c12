"""Numbers drawn from items' seeds, crops and colours, against torchvision and formulas written out."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image, ImageFilter
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as tv

from pretraining.data import color_jitter
from pretraining.data.counter_rng import (
    BLUR_STREAM,
    CROP_STREAM,
    MASK_STREAM,
    sample_integers,
    sample_permutation,
    sample_uniform,
)
from pretraining.data.crops import choose_bilinear, crop_and_resize, sample_crop_boxes, sample_flips
from pretraining.data.dataset import ImageFileDataset
from pretraining.data.readers import ImagePool
from pretraining.recipe import ColorAugmentation

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def splitmix(seed: int, count: int, stream: int) -> list[int]:
    """The generator in whole numbers of Python, signed as int64."""
    whole = (1 << 64) - 1

    def mixed(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & whole
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & whole
        return z ^ (z >> 31)

    start = mixed((seed + (stream + 1) * 0x94D049BB133111EB) & whole)
    found = [mixed((start + i * 0x9E3779B97F4A7C15) & whole) for i in range(1, count + 1)]
    return [value - (1 << 64) if value >> 63 else value for value in found]


def test_numbers_are_splitmix() -> None:
    seeds = [0, 1, 2**62 + 12345, 2**63 - 1]
    found = sample_integers(torch.tensor(seeds), 5, MASK_STREAM)
    assert found.tolist() == [splitmix(seed, 5, MASK_STREAM) for seed in seeds]
    assert not set(sample_integers(torch.tensor(seeds), 5, BLUR_STREAM).flatten().tolist()) & set(
        found.flatten().tolist()
    )


def test_uniform_is_uniform() -> None:
    """Mean, variance and no tie between columns; 40,000 draws, five standard errors."""
    found = sample_uniform(torch.arange(10_000), 4, CROP_STREAM)
    assert bool(((found >= 0) & (found < 1)).all())
    assert float(found.mean()) == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / 40_000))
    assert float(found.var()) == pytest.approx(1 / 12, abs=0.002)
    assert abs(float(torch.corrcoef(found.T)[0, 1])) < 0.05
    assert torch.equal(
        sample_permutation(torch.arange(9), 7, MASK_STREAM).sort(1).values, torch.arange(7).expand(9, -1)
    )


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(32, 32, (0.2, 1.0)), (20, 100, (0.9, 1.0)), (100, 20, (0.9, 1.0))]
)
def test_boxes_are_those_of_torchvision(height: int, width: int, scale: tuple[float, float]) -> None:
    """Its rule, written out for each seed; long images come to the fallback."""
    seeds = torch.arange(50)
    drawn = sample_uniform(seeds, 40, CROP_STREAM).double().reshape(50, 10, 4).tolist()
    found = sample_crop_boxes(seeds, height, width, scale).tolist()
    fallbacks = 0
    for tries, box in zip(drawn, found, strict=True):
        for share, place, up, along in tries:
            area = height * width * (scale[0] + (scale[1] - scale[0]) * share)
            ratio = math.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * place)
            wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                expected = [int(up * (height - tall + 1)), int(along * (width - wide + 1)), tall, wide]
                break
        else:
            fallbacks += 1
            tall, wide = (height, round(height * 4 / 3)) if width > height else (round(width * 4 / 3), width)
            expected = [(height - tall) // 2, (width - wide) // 2, tall, wide]
        assert box == expected
    assert (fallbacks > 0) == (height != width)


def test_cut_is_a_bicubic_crop() -> None:
    """A whole image is torch's own bicubic resize; a crop away from its edges too (1e-2 of 255); a mirrored one."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    whole = torch.tensor([[0, 0, 24, 24]] * 2)
    never = torch.zeros(2, dtype=torch.bool)
    expected = F.interpolate(images.float(), 36, mode="bicubic").clamp(0, 255)
    torch.testing.assert_close(crop_and_resize(images, whole, never, 36), expected, rtol=0, atol=1e-2)
    torch.testing.assert_close(crop_and_resize(images, whole, ~never, 36), expected.flip(3), rtol=0, atol=1e-2)
    inner = crop_and_resize(images, torch.tensor([[4, 6, 12, 16]] * 2), never, 32)
    part = F.interpolate(images[:, :, 4:16, 6:22].float(), 32, mode="bicubic").clamp(0, 255)
    torch.testing.assert_close(inner[:, :, 6:-6, 6:-6], part[:, :, 6:-6, 6:-6], rtol=0, atol=1e-2)


def test_interpolation_is_chosen_for_each_crop() -> None:
    """Half of the crops each way, whatever the batch; bilinear ones are torch's own bilinear resize (1e-2 of 255)."""
    seeds = torch.arange(10_000)
    drawn = choose_bilinear(seeds, "random")
    assert float(drawn.float().mean()) == pytest.approx(0.5, abs=0.025), "five standard errors"
    assert torch.equal(choose_bilinear(seeds[40:50], "random"), drawn[40:50])
    assert choose_bilinear(seeds, "bilinear").all()
    assert not choose_bilinear(seeds, "bicubic").any()
    images = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    whole, never = torch.tensor([[0, 0, 24, 24]] * 2), torch.zeros(2, dtype=torch.bool)
    found = crop_and_resize(images, whole, never, 36, torch.tensor([True, False]))
    for image, resized, mode in zip(images, found, ("bilinear", "bicubic"), strict=True):
        expected = F.interpolate(image[None].float(), 36, mode=mode)[0].clamp(0, 255)
        torch.testing.assert_close(resized, expected, rtol=0, atol=1e-2)


def test_files_are_resized_as_the_recipe_says() -> None:
    """The whole image, so that the crop is known: each result is PIL's own resize, and ``random`` gives both."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), dtype=np.uint8)
    pool = ImagePool("", pixels)
    image = Image.fromarray(pixels[0])
    wanted = {mode.name.lower(): np.asarray(image.resize((16, 16), mode)) for mode in (BILINEAR, BICUBIC)}
    found: dict[str, set[str]] = {}
    for interpolation in ("bilinear", "bicubic", "random"):
        data = ImageFileDataset(pool, 16, (1.0, 1.0), interpolation, 1, skip_bad=False)
        for seed in range(40):
            random.seed(seed)
            torch.manual_seed(seed)
            crop = data[0]["crops"][0].permute(1, 2, 0).numpy()
            found.setdefault(interpolation, set()).update(
                name for name, pixel in wanted.items() if np.array_equal(crop, pixel)
            )
    assert found == {"bilinear": {"bilinear"}, "bicubic": {"bicubic"}, "random": {"bilinear", "bicubic"}}


def test_flips_are_as_frequent_as_asked() -> None:
    seeds = torch.arange(10_000)
    assert not sample_flips(seeds, 0.0).any()
    assert sample_flips(seeds, 1.0).all()
    assert float(sample_flips(seeds, 0.3).float().mean()) == pytest.approx(0.3, abs=0.025)


FACTORS = torch.tensor([0.6, 1.0, 1.4])


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colours_are_those_of_torchvision(name: str) -> None:
    """A factor an image; 2e-3 of 1, since torchvision's hue rounds in another place."""
    torch.manual_seed(0)
    images = torch.rand(3, 3, 8, 9)
    images[0, :, 0, 0] = 0.5  # grey has no hue
    factors = FACTORS - 1 if name == "hue" else FACTORS
    found = getattr(color_jitter, f"adjust_{name}")(images, factors[:, None, None, None])
    change = getattr(tv, f"adjust_{name}")
    for image, factor, changed in zip(images, factors.tolist(), found, strict=True):
        torch.testing.assert_close(changed, change(image, factor), rtol=0, atol=2e-3)


def test_grey_and_solarise() -> None:
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(color_jitter.rgb_to_grayscale(images), tv.rgb_to_grayscale(images), rtol=0, atol=1e-4)
    torch.testing.assert_close(color_jitter.solarize_images(images), tv.solarize(images, 0.5))


def test_blur_is_gaussian() -> None:
    """Against torchvision's for each sigma (1e-5), and near PIL's, which the authors use, up to the edge (4 of 255)."""
    torch.manual_seed(0)
    images = torch.rand(2, 3, 20, 20)
    found = color_jitter.gaussian_blur(images, torch.tensor([0.4, 2.0]), 6)
    for image, sigma, blurred in zip(images, (0.4, 2.0), found, strict=True):
        wide = F.pad(image[None], [6] * 4, mode="replicate")[0]
        expected = tv.gaussian_blur(wide, [13, 13], [sigma] * 2)[:, 6:-6, 6:-6]
        torch.testing.assert_close(blurred, expected, rtol=0, atol=1e-5)
    smooth = F.interpolate(torch.rand(1, 3, 5, 5), 40, mode="bicubic").clamp(0, 1)
    pil = Image.fromarray((smooth[0].permute(1, 2, 0).numpy() * 255).round().astype("uint8"))
    expected = tv.pil_to_tensor(pil.filter(ImageFilter.GaussianBlur(2.0))).float() / 255
    ours = color_jitter.gaussian_blur(smooth, torch.tensor([2.0]), 6)[0]
    assert float((ours - expected).abs().max()) < 4 / 255


def test_blur_comes_before_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the authors' ``ssl_transform``; without a strength the jitter makes no grey image."""
    order: list[str] = []
    for name in ("gaussian_blur", "rgb_to_grayscale", "solarize_images"):

        def note(*values: object, name: str = name, original: object = getattr(color_jitter, name)) -> torch.Tensor:
            order.append(name)
            return original(*values)  # type: ignore[operator,no-any-return]

        monkeypatch.setattr(color_jitter, name, note)
    recipe = ColorAugmentation(jitter=[0.0] * 4, blur_p=[1.0, 1.0])
    color_jitter.augment_colors(torch.rand(2, 3, 8, 8), torch.arange(2), recipe, 0)
    assert order == ["gaussian_blur", "rgb_to_grayscale", "solarize_images"]


def test_jitter_keeps_the_order_and_each_image_its_own() -> None:
    """Brightness then contrast is another thing than contrast then brightness; batch-mates change nothing."""
    torch.manual_seed(0)
    images, drawn = torch.rand(2, 3, 6, 6), torch.tensor([[0.9, 0.1, 0.5, 0.5]] * 2)
    turns = torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3]])
    found = color_jitter.jitter_colors(images, drawn, turns, [0.4, 0.4, 0.0, 0.0])
    for row, changes in enumerate((("brightness", "contrast"), ("contrast", "brightness"))):
        expected = images[row]
        for name in changes:
            factor = 0.6 + 0.8 * (0.9 if name == "brightness" else 0.1)
            expected = getattr(tv, f"adjust_{name}")(expected, factor)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-4)
    seeds = torch.arange(40)
    images = torch.rand(40, 3, 16, 16)
    whole = color_jitter.augment_colors(images, seeds, ColorAugmentation(), 1)
    assert torch.equal(whole[7:9], color_jitter.augment_colors(images[7:9], seeds[7:9], ColorAugmentation(), 1))
    assert bool((whole != images).any())


def test_probabilities_of_the_two_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blur always and never solarised in the first view, a tenth and a fifth in the second."""
    monkeypatch.setattr(color_jitter, "BLUR_SIGMA_RANGE", (28.0, 56.0))  # 1 to 2 pixels at this size
    images, seeds = torch.rand(1, 3, 8, 8).expand(4000, -1, -1, -1), torch.arange(4000)
    quiet = {"jitter_p": 0.0, "grayscale_p": 0.0}
    for recipe, shares in (
        (ColorAugmentation(**quiet, blur_p=[0.0, 0.0]), (0.0, 0.2)),
        (ColorAugmentation(**quiet, solarize_p=[0.0, 0.0]), (1.0, 0.1)),
    ):
        for view, share in enumerate(shares):
            changed = (color_jitter.augment_colors(images, seeds, recipe, view) != images).flatten(1).any(1)
            assert float(changed.float().mean()) == pytest.approx(share, abs=0.025)


def test_crops_by_torch_are_those_of_pillow_but_for_rounding() -> None:
    """Of a smooth image, where neither overshoots; the box and the numbers drawn are the same."""
    rows, columns = np.mgrid[0:60, 0:80]
    smooth = 128 + 60 * np.sin(rows / 9)[..., None] * np.cos(columns / 7)[..., None] * np.array([1.0, 0.5, -1.0])
    pool = ImagePool("", pixels=smooth.round().astype(np.uint8)[None])
    for interpolation in ("bicubic", "bilinear", "random"):
        crops = []
        for resize in ("pillow", "torch"):
            random.seed(3)
            torch.manual_seed(3)
            found = ImageFileDataset(pool, 24, (0.2, 1.0), interpolation, 2, False, resize)[0]["crops"]
            assert (found.shape, found.dtype, found.is_contiguous()) == ((2, 3, 24, 24), torch.uint8, True)
            crops.append(found.int())
        assert int((crops[0] - crops[1]).abs().max()) <= 1
        assert float(crops[0].float().std()) > 10


def test_crops_by_pillow_have_the_pixels_of_torchvision() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 50, 70, 3), np.uint8)
    torch.manual_seed(5)
    found = ImageFileDataset(ImagePool("", pixels=pixels), 24, (0.2, 1.0), "bicubic", 1, False)[0]["crops"][0]
    torch.manual_seed(5)
    expected = RandomResizedCrop(24, (0.2, 1.0), interpolation=tv.InterpolationMode.BICUBIC)(Image.fromarray(pixels[0]))
    assert torch.equal(found, tv.pil_to_tensor(expected))
