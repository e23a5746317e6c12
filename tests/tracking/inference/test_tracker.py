"""The tracker's interface, its crops and windows, evaluation, and the score."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from foundation.errors import DataError, UserError
from tests.tracking.make import make_tracker_model
from tracking.data.boxes import clip_box
from tracking.data.crops import crop_window, make_crop_window, make_hann_window
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes
from tracking.data.readers import lasot
from tracking.data.readers.folder import read_folder_videos
from tracking.inference.backend import NumpyHeadMaps, TorchNetwork, split_head_maps
from tracking.inference.result_files import (
    PROVENANCE_FILE,
    boxes_path,
    discard_foreign_results,
    has_complete_files,
    read_sidecar,
    sidecar_path,
)
from tracking.inference.sequential import score_result_files, track_sequence, track_sequences
from tracking.inference.tracker import Tracker, decode_best_box
from tracking.models.center_head import HeadMaps, decode_boxes
from tracking.scoring import score_sequence

SIZES = CropSizes(64, 128, 2.0, 4.0)
FRAME = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


def test_got10ks_own_loop_runs_it(tmp_path: Path) -> None:
    """got10k's ``Tracker.track`` (its loop, PIL images) against ours, on the same frames."""
    from got10k.trackers import Tracker as Got10k

    inner = Tracker(TorchNetwork(make_tracker_model()), SIZES)

    class Ours(Got10k):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("ours", is_deterministic=True)

        def init(self, image: PIL.Image.Image, box: Any) -> None:
            inner.init(image, box)

        def update(self, image: PIL.Image.Image) -> Any:
            return inner.update(image)

    video = lasot.read_test_videos(ensure_mini_lasot())[2]
    names = [str(path) for path in video.frames[:6]]
    boxes, _ = Ours().track(names, video.boxes[0])
    frames = [np.asarray(PIL.Image.open(name)) for name in names]
    inner.init(frames[0], video.boxes[0])
    expected = [inner.update(frame) for frame in frames[1:]]
    assert boxes[1:] == pytest.approx(np.array(expected), abs=1e-9)


def test_an_update_is_the_steps_of_the_reference() -> None:
    """Written out once more: crop at 4x, network, Hann, argmax, back through the previous centre, clip."""
    model = make_tracker_model()
    tracker = Tracker(TorchNetwork(model), SIZES)
    first = np.array([60.0, 40.0, 30.0, 20.0])
    tracker.init(FRAME, first)
    found = tracker.update(FRAME)

    def tensor(crop: np.ndarray) -> torch.Tensor:
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        return torch.from_numpy(((crop / 255 - mean) / std).transpose(2, 0, 1)[None]).float()

    template = tensor(crop_window(FRAME, make_crop_window(first, 2.0), 64))
    place = make_crop_window(first, 4.0)
    with torch.no_grad():
        maps = model(template, tensor(crop_window(FRAME, place, 128)))
    scores = maps.score[0].numpy() * make_hann_window(16)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    centre = (np.array([column, row]) + maps.offset[0, :, row, column].numpy()) / 16 * place.side
    size = maps.size[0, :, row, column].numpy() * place.side
    middle = first[:2] + first[2:] / 2 + centre - place.side / 2
    assert found == pytest.approx(clip_box([*(middle - size / 2), *size], 160, 120), abs=1e-3)
    assert tracker.confidence == pytest.approx(float(maps.score.max()), abs=1e-5)


class Uncached(TorchNetwork):
    """The same network, the template computed again with every frame."""

    def encode_template(self, template: np.ndarray) -> Any:
        return self._preprocess([template])

    @torch.inference_mode()
    def predict_maps(self, encoded_templates: Any, search_crops: Any) -> list[NumpyHeadMaps]:
        return split_head_maps(self.model(encoded_templates[0], self._preprocess(search_crops)))


def test_a_remembered_template_tracks_the_same() -> None:
    model = make_tracker_model(asymmetric_attention=True)
    boxes = []
    for tracker in (Tracker(TorchNetwork(model), SIZES), Tracker(Uncached(model), SIZES)):
        tracker.init(FRAME, (60, 40, 30, 20))
        boxes.append([tracker.update(np.roll(FRAME, 2 * n, 1)) for n in range(4)])
    assert np.abs(np.array(boxes[0]) - np.array(boxes[1])).max() < 1e-3


def test_the_tracker_refuses_what_it_cannot_use() -> None:
    tracker = Tracker(TorchNetwork(make_tracker_model()), SIZES)
    with pytest.raises(UserError, match="starts with init"):
        tracker.update(FRAME)
    with pytest.raises(DataError, match="has no area"):
        tracker.init(FRAME, (5, 5, 0, 5))
    with pytest.raises(UserError, match="not float64"):
        tracker.init(FRAME / 255, (5, 5, 5, 5))
    tracker.init(PIL.Image.fromarray(FRAME), (5, 5, 20, 20))
    tracker.update(FRAME)


class Still:
    """A tracker that never moves, with the interface of ours."""

    confidence, network_seconds = 0.5, 0.0

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        self.box = box

    def update(self, image: np.ndarray) -> np.ndarray:
        return self.box


def test_static_boxes_on_two_real_videos(shared_data: Path, tmp_path: Path) -> None:
    """AUC 4.048 and 6.924. Where IoU is not clipped, round-off lets bag-1's first frame pass "> 1": 6.948."""
    videos = read_folder_videos(shared_data / "sequences")
    tracker: Any = Still()
    track_sequences(tracker, videos, tmp_path, "still")
    scores = {score.sequence.rpartition("_")[2]: score.AUC for score in score_result_files(videos, tmp_path)}
    assert scores == pytest.approx({"bag-1": 6.948 - 100 / 21 / 196, "pedestrian-1": 4.048}, abs=5e-4)


def test_success_by_hand() -> None:
    truth = np.array([[0.0, 0.0, 10.0, 10.0]] * 4)
    predicted = np.array(
        [[50.0, 50.0, 1.0, 1.0], [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 10.0, 10.0]]
    )
    visible = np.array([True, True, True, False])
    # the first counts as the truth: 20 of 21; the second too; IoU 0.5: 10 of 21; not visible: 0
    assert score_sequence(predicted, truth, ~visible).metric_value("AUC") == pytest.approx(
        100 * (20 + 20 + 10) / 21 / 4
    )


def test_finished_sequences_are_not_tracked_again(tmp_path: Path) -> None:
    videos = lasot.read_test_videos(ensure_mini_lasot())[:2]
    tracker: Any = Still()
    track_sequences(tracker, videos, tmp_path, "still")
    mark = boxes_path(tmp_path, videos[0]).read_text().replace("\n", "\r\n")
    boxes_path(tmp_path, videos[0]).write_bytes(mark.encode())
    boxes_path(tmp_path, videos[1]).unlink()
    track_sequences(tracker, videos, tmp_path, "still")
    assert boxes_path(tmp_path, videos[0]).read_bytes() == mark.encode()
    assert len(boxes_path(tmp_path, videos[1]).read_text().splitlines()) == 48
    with pytest.raises(DataError, match="boxes for 48 frames"):
        boxes_path(tmp_path, videos[0]).write_text("1,2,3,4\n")
        score_result_files(videos, tmp_path)
    boxes_path(tmp_path, videos[1]).unlink()
    with pytest.raises(DataError, match="was not tracked"):
        score_result_files(videos[1:], tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [("", "line 5, is empty"), ("1,2,inf,4", "line 5, is not four finite numbers"), ("1,2,3", "line 5, has 3 numbers")],
)
def test_a_damaged_result_file_is_neither_scored_nor_taken_for_whole(line: str, says: str, tmp_path: Path) -> None:
    """An empty line between two boxes too: a reader that passes over it scores every later box a frame too early."""
    (video,) = lasot.read_test_videos(ensure_mini_lasot())[:1]
    tracker: Any = Still()
    track_sequences(tracker, [video], tmp_path, "still")
    assert has_complete_files(tmp_path, video)
    path = boxes_path(tmp_path, video)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], line, *lines[4:]]) + "\n")
    assert not has_complete_files(tmp_path, video)
    with pytest.raises(DataError, match=says) as caught:
        score_result_files([video], tmp_path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("suffix", ["confidence", "times"])
def test_a_file_beside_the_boxes_may_be_anything(suffix: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A pipe kept ``bench verify`` waiting for ever, and bytes that are no text ended it as an unforeseen error."""
    (video,) = lasot.read_test_videos(ensure_mini_lasot())[:1]
    path = sidecar_path(tmp_path, video, suffix)
    for content, says in (
        (b"\xff\xfe[[", "it is no UTF-8 text"),
        (b"a,b\n", "convert"),
        (b"# no rows\n", "no numbers"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path.name} cannot be read .*{says}"):
            read_sidecar(tmp_path, video, suffix)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="not a regular file"):
        read_sidecar(tmp_path, video, suffix)
    assert not recwarn.list


def test_a_foreign_description_of_the_tracker_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".x.tmp").mkdir()
    (tmp_path / PROVENANCE_FILE).write_bytes(b"\xff\xfe")
    discard_foreign_results(tmp_path, [], {"weights": "0"})
    assert json.loads((tmp_path / PROVENANCE_FILE).read_text()) == {"weights": "0"}


def test_result_files_hold_three_decimals_and_confidences(tmp_path: Path) -> None:
    (video,) = lasot.read_test_videos(ensure_mini_lasot())[:1]
    tracker = Tracker(TorchNetwork(make_tracker_model("vit_pico")), SIZES)
    track_sequences(tracker, [video], tmp_path, "ours")
    boxes, confidences, _ = track_sequence(tracker, video)
    saved = np.loadtxt(boxes_path(tmp_path, video), delimiter=",")
    assert np.abs(saved - boxes).max() <= 0.0005 + 1e-9 and (saved[0] == video.boxes[0]).all()
    assert np.abs(np.loadtxt(tmp_path / f"{video.name}_confidence.txt") - confidences).max() < 1e-4
    assert confidences[0] == 1.0 and (confidences[1:] < 1).all()


def test_the_window_pulls_to_the_middle() -> None:
    """Two equal peaks: the one nearer to the previous centre wins."""
    score = np.full((16, 16), 0.1, np.float32)
    score[7, 8] = score[1, 1] = 0.8
    maps = NumpyHeadMaps(score, np.full((2, 16, 16), 0.25, np.float32), np.zeros((2, 16, 16), np.float32))
    tracker = Tracker(TorchNetwork(make_tracker_model()), SIZES)
    tracker.init(FRAME, (60, 40, 30, 30))
    tracker.crop_search_region(FRAME)
    x, y, w, h = tracker.decode_box(maps)
    assert (x + w / 2, y + h / 2) == pytest.approx((75, 47.5)), "half a crop: 60 px; cells (8, 7) of 16: 60 and 52.5"
    assert tracker.confidence == pytest.approx(0.8)


def test_the_best_box_is_the_heads_own_decoding() -> None:
    rng = np.random.default_rng(0)
    maps = HeadMaps(*(torch.from_numpy(rng.random(s, np.float32)) for s in ((5, 8, 8), (5, 2, 8, 8), (5, 2, 8, 8))))
    weights = make_hann_window(8).astype(np.float32)
    expected = decode_boxes(maps.score * torch.from_numpy(weights), maps).tolist()
    assert [decode_best_box(each, weights) for each in split_head_maps(maps)] == expected


@pytest.mark.parametrize("own", [False, True])
def test_targets_side_by_side_are_followed_as_one_by_one(own: bool) -> None:
    """One call of the network for three targets gives each what it would have got alone, to float rounding."""
    network = TorchNetwork(make_tracker_model(asymmetric_attention=own))
    boxes = [(60, 40, 30, 20), (20, 20, 40, 40), (90, 50, 25, 35)]
    together, alone = ([Tracker(network, SIZES) for _ in boxes] for _ in range(2))
    for trackers in (together, alone):
        for tracker, box in zip(trackers, boxes, strict=True):
            tracker.init(FRAME, box)
    for step in range(3):
        frame = np.roll(FRAME, 2 * step, 1)
        crops = [tracker.crop_search_region(frame) for tracker in together]
        found = network.predict_maps([tracker.encoded_template for tracker in together], crops)
        pairs = [
            (tracker.decode_box(maps), other.update(frame))
            for tracker, maps, other in zip(together, found, alone, strict=True)
        ]
        assert max(np.abs(one - other).max() for one, other in pairs) < 1e-3
