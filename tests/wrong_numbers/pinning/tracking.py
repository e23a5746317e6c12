"""What is pinned of the tracking protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backbones.registry import get_card
from engine.config import load_protocol
from tests.wrong_numbers.pinning.first_steps import FirstSteps, run_first_steps
from tests.wrong_numbers.pinning.inputs import describe_pixels, get_work_folder, make_photo
from tests.wrong_numbers.pinning.recipes import describe_settings, list_config_files, trace_learning_rates
from tracking.data.crops import (
    crop_to_image_box,
    crop_window,
    image_to_crop_box,
    make_crop_window,
    make_hann_window,
)
from tracking.inference.backend import NumpyHeadMaps
from tracking.inference.tracker import Tracker
from tracking.models.candidate_elimination import compute_keep_ratio
from tracking.protocols import load_protocol_recipe
from tracking.recipe import TrackingRecipe
from tracking.scoring import SequenceGroundTruth, score_tracker
from tracking.scoring.rules import (
    GOT10K_VAL_OFFICIAL,
    LASOT_GOT10K,
    LASOT_OFFICIAL,
    OTB_GOT10K,
    OTB_PYTRACKING,
    UAV123_GOT10K,
    UAV123_PYTRACKING,
)
from tracking.tasks import TRACKFOLDER

FILES = list_config_files("tracking")

# candidate elimination works in blocks 3, 6 and 9, so this backbone is as deep as those of the papers
DEEP_CARD = replace(get_card("vit_pico"), name="pinned_vit_deep", arguments={"depth": 10})

TARGET, SECOND_TARGET = (96.0, 60.0, 41.0, 57.0), (2.0, 131.0, 50.0, 38.0)
"""A target in the middle of the photograph, and one at its border."""


def list_sections(name: str) -> Mapping[str, Callable[[str], Any]]:
    """Return what is measured of a protocol, by section."""
    return {
        "settings": lambda each: describe_settings(FILES[each], TrackingRecipe),
        "preprocessing": measure_preprocessing,
        "boxes": measure_boxes,
        "elimination": measure_elimination,
        "plan": lambda each: sorted(train_protocol(each).plan.config),
        "optimizer": lambda each: train_protocol(each).optimizer,
        "learning_rates": measure_learning_rates,
        "losses": lambda each: train_protocol(each).losses,
    }


def measure_learning_rates(name: str) -> Any:
    """Return the learning rates of a full training."""
    recipe = load_protocol(FILES[name], TrackingRecipe, "full", ["loggers=[]"]).recipe
    return trace_learning_rates(recipe, train_protocol(name).learning_rates)


def measure_preprocessing(name: str) -> Any:
    """Return the template and the search crop of two targets, one of them at the border of the photograph."""
    sizes = load_protocol_recipe(name).crop_sizes()
    found = {}
    for target, box in (("middle", TARGET), ("border", SECOND_TARGET)):
        for crop, factor, side in (
            ("template", sizes.template_factor, sizes.template_size),
            ("search", sizes.search_factor, sizes.search_size),
        ):
            window = make_crop_window(box, factor)
            pixels = crop_window(make_photo(), window, side, sizes.geometry)
            # "decoded": the tolerance of pixels from 0 to 255
            found[f"{crop} {target}"] = {"window": list(window), "decoded": describe_pixels(pixels.transpose(2, 0, 1))}
    return found


class _FixedNetwork:
    """A network whose maps are arithmetic: the best cell moves from frame to frame, also away from the center."""

    runtime, precision = "torch", "fp32"

    def __init__(self, grid_size: int) -> None:
        self.grid_size = grid_size
        self.calls = 0

    def encode_template(self, template: Any) -> Any:
        return None

    def predict_maps(self, encoded_templates: Sequence[Any], search_crops: Sequence[Any]) -> list[NumpyHeadMaps]:
        self.calls += 1
        row, column = np.mgrid[: self.grid_size, : self.grid_size].astype(np.float32) / self.grid_size
        # two hills: the higher one lies further out, so the window decides between them
        near = 0.6 * np.exp(-30 * ((row - 0.45) ** 2 + (column - 0.5 - 0.03 * self.calls) ** 2))
        far = 0.8 * np.exp(-30 * ((row - 0.85) ** 2 + (column - 0.1) ** 2))
        size = np.stack([0.2 + 0.1 * row, 0.3 - 0.1 * column])
        offset = np.stack([0.25 + 0.5 * column, 0.75 - 0.5 * row])
        return [NumpyHeadMaps(*(part.astype(np.float32) for part in (np.maximum(near, far), size, offset)))]


def measure_boxes(name: str) -> Any:
    """Return boxes in coordinates of crops and back, the Hann window, and a target followed by fixed maps."""
    recipe = load_protocol_recipe(name)
    sizes = recipe.crop_sizes()
    window = make_crop_window(TARGET, sizes.search_factor)
    inside = image_to_crop_box((104.0, 71.0, 30.0, 44.0), TARGET, window, sizes.search_size, sizes.geometry)
    back = crop_to_image_box((0.61, 0.37, 0.2, 0.3), TARGET, window, sizes.geometry)
    # the grid of a backbone with patches of 16 px
    tracker = Tracker(_FixedNetwork(sizes.search_size // 16), sizes)
    tracker.init(make_photo(), TARGET)
    followed = [tracker.update(make_photo()).tolist() for _ in range(4)]
    return {
        "inside": inside.tolist(),
        "back": back.tolist(),
        "hann": make_hann_window(sizes.search_size // 16)[1].tolist(),
        "followed": followed,
        "confidences": [round(tracker.confidence, 4)],
    }


def measure_elimination(name: str) -> Any:
    """Return the fraction of tokens that remains in training at some epochs, and whether it is used."""
    recipe = load_protocol_recipe(name)
    return [recipe.use_ce, *(compute_keep_ratio(recipe.ce, epoch) for epoch in (0, 19, 20, 21, 60, 99, 100))]


@cache
def train_protocol(name: str) -> FirstSteps:
    """Run the first steps of a protocol with a small backbone on short sequences and photographs."""
    small = ["batch_size=4", "schedule.warmup=0", "loggers=[]", "workers=0", "template_size=32", "search_size=64"]
    # one step per epoch: the drawn pairs and the elimination change with the epoch
    small += ["pairs=4", "val_pairs=2", "val_interval=10", "head_channels=16", "norm_group=2", "ce.begin=0", "ce.end=2"]
    if not name.startswith("fast"):  # these train on photographs; the papers' four sets are not at hand
        small += [f"dataset_weights.{each}=0" for each in ("lasot", "got10k", "coco", "trackingnet")]
        small += ["dataset_weights.trackfolder=1", "dataset_weights.photos=1"]
    folder = get_work_folder(name)
    return run_first_steps(TRACKFOLDER, name, DEEP_CARD, small, write_sequences(), folder)


@cache
def write_sequences() -> Path:
    """Write two short sequences to train on and one to test, and return their data root."""
    root = get_work_folder("sequences")
    for number, name in enumerate(("train/one", "train/two", "test/three")):
        (root / name / "img").mkdir(parents=True)
        # 24 frames: training takes sequences of 20 or more
        boxes = [(30 + 4 * k + number, 40 + 2 * k, 44 - k % 8, 36 + k % 9) for k in range(24)]
        for frame, (x, y, width, height) in enumerate(boxes):
            picture = make_photo(160, 200 + number)
            target = make_photo(240, 240)[100 + number : 100 + number + height, 60 : 60 + width]
            picture[y : y + height, x : x + width] = 255 - target
            Image.fromarray(picture).save(root / name / "img" / f"{frame + 1:04d}.png")
        (root / name / "groundtruth.txt").write_text("".join(f"{x},{y},{w},{h}\n" for x, y, w, h in boxes))
    return root


def measure_scores() -> Any:
    """Return the scores of fixed boxes by the rules of every test set: empty boxes, absent frames, a late target."""
    truths = [_make_boxes(20, start, 0.0) for start in (0, 7, 31)]
    absent = [np.arange(20) % (6 + number) == 5 for number in range(3)]
    results = {
        f"sequence {number}": _make_boxes(20, start, 3.0 + 4 * number) for number, start in enumerate((0, 7, 31))
    }
    results["sequence 1"][4, 2:] = 0  # an empty box
    results["sequence 2"][12:] += 60  # lost
    sequences = [
        SequenceGroundTruth(f"sequence {number}", truth, hidden, image_size=(200.0, 150.0))
        for number, (truth, hidden) in enumerate(zip(truths, absent, strict=True))
    ]
    rules = {
        "LaSOT": LASOT_OFFICIAL,
        "LaSOT, got10k": LASOT_GOT10K,
        "OTB": OTB_PYTRACKING,
        "OTB, got10k": OTB_GOT10K,
        "UAV123": UAV123_PYTRACKING,
        "UAV123, got10k": UAV123_GOT10K,
        "GOT-10k": GOT10K_VAL_OFFICIAL,
    }
    return {name: score_tracker("fixed", results, sequences, rule).metric_values() for name, rule in rules.items()}


def _make_boxes(count: int, start: int, error: float) -> NDArray[np.float64]:
    """Return boxes along a curve, off by an error that grows and shrinks with the frame."""
    frame = np.arange(count, dtype=np.float64)
    off = error * ((frame * 5 + start) % 7 - 3) / 3
    columns = [20 + 6 * frame + off, 30 + 3 * (frame % 9) - off, 40 + (frame + start) % 5 + off, 30 + frame % 4 + off]
    return np.stack(columns, axis=1)


SHARED_SECTIONS: Mapping[str, Callable[[], Any]] = {"scores": measure_scores}
