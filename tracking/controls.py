"""Destroy the signal of tracking data, and answer without looking at frames: the negative controls of tracking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.control_task import draw_noise
from engine.task import ControlKind, TaskOutcome
from results.records.record import MetricValue, ModelSelection
from tracking.data.crops import ImageArray
from tracking.data.pair import TrainingPair
from tracking.data.pair_dataset import PairSampler, WeightedPairSampler
from tracking.data.readers.sequence import Video
from tracking.inference.result_files import TrackedSequence, write_tracked_sequence
from tracking.inference.sequential import SequenceMetrics, score_result_files
from tracking.recipe import TrackingRecipe
from tracking.training_sets import make_pair_samplers


class ExchangedBoxes:
    """Training pairs of which each has the box of another pair.

    Args:
        sampler: the sampler of the pairs.
        seed: another seed exchanges them otherwise.
    """

    def __init__(self, sampler: PairSampler, seed: int) -> None:
        self.sampler, self.seed = sampler, seed

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """Draw a pair, and the box of a second one."""
        pair = self.sampler.sample_pair(rng)
        other = np.random.default_rng((self.seed, int(rng.integers(2**63))))
        return pair._replace(box=self.sampler.sample_pair(other).box)


class NoisePairs:
    """Training pairs whose two crops are noise.

    Args:
        sampler: the sampler of the pairs, whose boxes stay.
        seed: another seed gives other noise.
    """

    def __init__(self, sampler: PairSampler, seed: int) -> None:
        self.sampler, self.seed = sampler, seed

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """Draw a pair, and noise of the size of its crops."""
        template, search, box = self.sampler.sample_pair(rng)
        parts = self.seed, int(rng.integers(2**63))
        return TrainingPair(draw_noise(template.shape, *parts, 0), draw_noise(search.shape, *parts, 1), box)


@dataclass(frozen=True)
class NoiseVideo(Video):
    """A sequence whose frames are noise.

    Attributes:
        seed: another seed gives other noise.
    """

    seed: int = 0

    def read_frame(self, index: int) -> ImageArray:
        """Return noise of the size of a frame."""
        return draw_noise(super().read_frame(index).shape, self.seed, self.name, index)


def replace_frames(videos: Sequence[Video], kind: ControlKind, seed: int) -> list[Video]:
    """Return the test sequences as a kind of control shows them; their boxes stay, because the test is the real one.

    Args:
        videos: the test sequences.
        kind: only ``noise_images`` changes the frames.
        seed: the seed of the noise.
    """
    return [NoiseVideo(**vars(video), seed=seed) if kind == "noise_images" else video for video in videos]


@dataclass(frozen=True)
class ControlSamplers:
    """Makes the samplers of training pairs as a kind of control shows them.

    Attributes:
        kind: ``shuffled_labels`` exchanges boxes, ``noise_images`` gives noise.
        seed: the seed of the change.
    """

    kind: ControlKind
    seed: int

    def __call__(self, recipe: TrackingRecipe, root: Path) -> list[WeightedPairSampler]:
        """Return a sampler for each training set; see ``make_pair_samplers``."""
        sources = make_pair_samplers(recipe, root)
        if self.kind == "shuffled_labels":
            return [each._replace(sampler=ExchangedBoxes(each.sampler, self.seed)) for each in sources]
        if self.kind == "noise_images":
            return [each._replace(sampler=NoisePairs(each.sampler, self.seed)) for each in sources]
        return sources


def answer_first_box(videos: Sequence[Video], metric_names: Sequence[str], out: Path) -> TaskOutcome:
    """Return the outcome of a tracker that repeats the first box, scored from result files like any other tracker.

    Args:
        videos: the test sequences.
        metric_names: the metrics, all in percent.
        out: folder of the run.
    """
    folder = out / "tracked"
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos:
        tracked = TrackedSequence.allocate(len(video.frames))
        tracked.boxes[:], tracked.times_ms[:] = video.boxes[0], 0.0
        write_tracked_sequence(folder, video, tracked)
    rows = score_result_files(videos, folder)
    means = {name: float(np.mean([getattr(row, name) for row in rows])) for name in metric_names}
    return TaskOutcome(
        metrics={
            name: MetricValue(value=value, unit="%", higher_is_better=True, n=len(rows))
            for name, value in means.items()
        },
        item_columns=SequenceMetrics._fields,
        item_rows=rows,
        selection=ModelSelection(split="none", metric="AUC", candidates=1, chosen="the first box"),
        load_report=None,
        checkpoint_format=None,
        parameters=0,
        phase_seconds={},
    )
