"""Make the tracker that bench ships: ``python -m benchmarks.cli.make_first_tracker FOLDER [SEED] [val|score]``.

A killed command that is typed again goes on. With ``val`` the photographs for validation are left out of the training,
and the tracker is validated on them; so its settings were chosen. ``score`` trains nothing and scores the tracker of
the folder on the test sequences of ``mini_lasot``. See docs/decisions/0016-a-tracker-that-ships.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.output import write_stdout

if TYPE_CHECKING:
    from tracking.correlation.network import CorrelationNetwork

MODES = ("val", "score")


def main(words: list[str]) -> int:
    """Do what the words say; a wrong number of them gets the usage."""
    mode = words.pop() if words[-1:] and words[-1] in MODES else ""
    if not 1 <= len(words) <= 2:
        write_stdout(str(__doc__).splitlines()[0])
        return 2
    folder, seed = Path(words[0]), int(words[1]) if len(words) == 2 else 0
    if mode == "score":
        _score_tracker(folder)
        return 0
    # imported here, because torch takes seconds
    from safetensors.torch import save_file

    from foundation.files import sha256_file
    from tracking.correlation.shipped import WEIGHTS_FILE, list_shipped_tensors

    network = _train(folder, seed, is_val=mode == "val")
    path = folder / WEIGHTS_FILE
    save_file(list_shipped_tensors(network), path)
    write_stdout(f"{path}: sha256 {sha256_file(path)}")
    if mode == "val":
        _validate(network)
    return 0


def _train(folder: Path, seed: int, is_val: bool) -> CorrelationNetwork:
    from engine.data import photographs
    from tracking.correlation.network import CROP_SIZES
    from tracking.correlation.pairs import ShapedPairSampler
    from tracking.correlation.training import JITTER, TrainingSettings, train_network
    from tracking.correlation.validation import split_photos

    folder.mkdir(parents=True, exist_ok=True)
    names = split_photos(is_held=False) if is_val else photographs.TRAIN_PHOTOS
    sampler = ShapedPairSampler(photographs.load_photos(names), CROP_SIZES, JITTER)
    return train_network(sampler, TrainingSettings(), seed, folder)


def _validate(network: CorrelationNetwork) -> None:
    import numpy as np

    from tracking.correlation.backend import CorrelationBackend, CorrelationTracker
    from tracking.correlation.network import CROP_SIZES
    from tracking.correlation.validation import compute_pair_overlap, track_val_sequences

    tracks = list(track_val_sequences(CorrelationTracker(CorrelationBackend(network), CROP_SIZES)))
    write_stdout(
        f"val: mean IoU of pairs {compute_pair_overlap(network):.1f} %, AUC of sequences "
        f"{np.mean([track.auc for track in tracks]):.1f}"
    )


def _score_tracker(folder: Path) -> None:
    from tracking.correlation.shipped import load_weights_file
    from tracking.data.mini_lasot import ensure_mini_lasot
    from tracking.data.readers.lasot import read_test_videos
    from tracking.inference.sequential import track_sequence
    from tracking.scoring import LASOT_OFFICIAL, score_sequence

    tracker, scores = load_weights_file(folder), {}
    for video in read_test_videos(ensure_mini_lasot()):
        # as in result files
        boxes = track_sequence(tracker, video).boxes.round(3)
        score = score_sequence(boxes, video.boxes, ~video.visible, LASOT_OFFICIAL, name=video.name)
        scores[video.name] = round(score.metric_values()["AUC"], 2)
    mean = round(sum(scores.values()) / len(scores), 2)
    write_stdout(json.dumps({"mean": mean, "sequences": scores}, indent=2))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
