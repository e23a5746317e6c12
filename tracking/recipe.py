"""The settings of a tracking protocol, as a strict pydantic model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from engine.evaluation.model_source import Precision, Runtime
from engine.recipe import StrictConfig, TrainingRecipe
from engine.settings.setting_types import (
    BatchSize,
    Channels,
    Count,
    CropFactor,
    Fraction,
    PathText,
    ProcessCount,
    Side,
    Weight,
)
from tracking.data.crops import CropGeometry
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.readers.got10k_splits import Got10kChoice, Got10kSplit
from tracking.data.video_pairs import PairAugmentation
from tracking.inference.options import TrackingOptions
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.norm_groups import DEFAULT_NORM_GROUP


class DatasetWeights(StrictConfig):
    """Sampling weights of the training sets. A set with weight 0 is not used.

    A training pair is drawn from a set with a probability proportional to its weight, whatever the size of the set.

    Attributes:
        photos: pairs made from embedded photographs; no download.
        mini_lasot: the training split of the embedded miniature; no download.
        lasot, got10k, trackingnet, coco: data sets, each in the folder of that name below the data root.
        trackfolder: the user's own sequences in the folder ``train`` below the data root.
    """

    photos: Weight = 0.0
    mini_lasot: Weight = 0.0
    lasot: Weight = 0.0
    got10k: Weight = 0.0
    trackingnet: Weight = 0.0
    coco: Weight = 0.0
    trackfolder: Weight = 0.0

    @model_validator(mode="after")
    def _has_nonzero_weight(self) -> DatasetWeights:
        # otherwise the weights could not be normalized to probabilities
        if not self.nonzero_weights():
            raise ValueError("all weights are 0; training needs at least one training set")
        return self

    def nonzero_weights(self) -> dict[str, float]:
        """Return the training sets that are used, with their weights."""
        return {name: weight for name, weight in self.model_dump().items() if weight > 0}


class TrackingRecipe(TrainingRecipe):
    """The settings of a training plus those of crops, pairs, network, losses and tracking.

    Attributes:
        template_size, search_size: side lengths of the crops in pixels; multiples of the patch size.
        template_factor, search_factor: side length of the image region that a crop shows, as a multiple of the target's
            side length, which is the square root of its area.
        geometry: ``ostrack`` or ``exact``, see ``tracking.data.crops``.
        center_jitter, scale_jitter: random displacement and scaling of the search region in training, see
            ``tracking.data.pair.SearchJitter``.
        pairs: number of training pairs per epoch.
        val_pairs: number of pairs whose IoU is displayed during training; nothing is selected by it.
        max_frame_gap: the two frames of a pair are less than this many frames apart.
        dataset_weights: training sets and their sampling weights.
        got10k_split: which sequences of GOT-10k are used: ``train_full`` (all), or OSTrack's ``train`` or ``vottrain``.
        got10k_list: OSTrack's list of the split, if it is not in the folder of GOT-10k. Only its content counts, which
            is checked.
        got10k_exclude: file with names of GOT-10k sequences to leave out.
        grayscale, flip, frame_flip, brightness: augmentation of video pairs, see
            ``tracking.data.video_pairs.PairAugmentation``.
        augment_frames: whether ``grayscale`` and ``flip`` change the whole frames (as in OSTrack) or the crops.
        skip_unreadable: skip unreadable frames and count them in the record, instead of stopping the run.
        drop_path: stochastic depth rate of the last block; earlier blocks have proportionally less.
        head_channels: output channels of the head's first convolutions; 256 in OSTrack, 64 is far cheaper.
        use_ce: whether to use candidate elimination, with the settings ``ce``.
        ce: at which blocks, when in training, and how many tokens are eliminated.
        asymmetric_attention: let the template attend only to itself, so that tracking encodes it only once.
        box_loss_cell: the cell at which size and offset are trained: the ``predicted`` cell with the highest score
            (as in OSTrack), or the cell of the true ``center``.
        focal_weight, giou_weight, l1_weight: weights of the losses.
        norm_group: largest number of pairs whose batch-norm statistics and loss normalization belong together; 32 as in
            the papers (32 on each of 4 GPUs). A smaller batch is one group.
        track_processes: number of single-threaded processes that track the test set on a CPU; by default up to one per
            core. It cannot change the number, because every frame is computed in the same way.
        track_batch: number of sequences that are tracked side by side on a GPU. Another batch size rounds differently,
            as another device does; both are written into the record instead of the identity.
        max_items: as in every protocol; of the training pairs ``pairs`` decides instead.
        max_frames: largest number of frames that are tracked of a test sequence, the first ones; for tiers below
            ``full``, ``None`` for all.
        runtime: what runs the network on the test sequences: ``torch``, or ``onnxruntime`` or ``openvino`` after an
            export.
        runtime_precision: precision of that runtime: ``f32``, ``bf16`` or ``int8``.
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = TrainingRecipe.NON_IDENTITY_FIELDS | {
        "track_processes",
        "track_batch",
        "got10k_list",
    }

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {
        "max_frames": None,
        "got10k_split": "train_full",
        "augment_frames": False,
    }

    template_size: Side
    search_size: Side
    # defaults are those of OSTrack at 256 px; the protocols in configs/ name whatever differs
    template_factor: CropFactor = 2.0
    search_factor: CropFactor = 4.0
    geometry: CropGeometry = "ostrack"
    center_jitter: float = Field(default=3.0, ge=0, le=100)
    scale_jitter: float = Field(default=0.25, ge=0, le=10)
    pairs: Count
    val_pairs: Count
    max_frame_gap: Count = 200
    dataset_weights: DatasetWeights
    got10k_split: Got10kSplit = "train_full"
    got10k_list: PathText | None = None
    got10k_exclude: PathText | None = None
    grayscale: Fraction = 0.05
    flip: Fraction = 0.5
    frame_flip: Fraction = 0.5
    brightness: Fraction = 0.2
    augment_frames: bool = False
    skip_unreadable: bool = False
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    # each tower halves the channels three times, down to an eighth
    head_channels: Channels = Field(default=256, multiple_of=8)
    use_ce: bool = False
    ce: CandidateElimination = CandidateElimination()
    asymmetric_attention: bool = False
    box_loss_cell: Literal["predicted", "center"] = "predicted"
    focal_weight: Weight = 1.0
    giou_weight: Weight = 2.0
    l1_weight: Weight = 5.0
    norm_group: BatchSize = DEFAULT_NORM_GROUP
    track_processes: ProcessCount | None = None
    track_batch: BatchSize = 16
    max_frames: Count | None = None
    runtime: Runtime = "torch"
    runtime_precision: Precision = "f32"

    @property
    def draws_per_piece(self) -> bool:
        """Whether each micro-batch draws random numbers of its own."""
        return self.drop_path > 0

    def identity_settings(self) -> dict[str, Any]:
        """Return the settings that can change the number, as plain data.

        The runtime is left out if it is torch in f32, and the groups of batch norm if the complete batch is one group
        of the default size: runs from before there was a choice keep their identity.
        """
        identity = super().identity_settings()
        if self.norm_group == DEFAULT_NORM_GROUP and self.batch_size <= DEFAULT_NORM_GROUP:
            del identity["norm_group"]
        if (self.runtime, self.runtime_precision) == ("torch", "f32"):
            del identity["runtime"], identity["runtime_precision"]
        return identity

    def crop_sizes(self) -> CropSizes:
        """Return how the crops are cut."""
        return CropSizes(self.template_size, self.search_size, self.template_factor, self.search_factor, self.geometry)

    def search_jitter(self) -> SearchJitter:
        """Return how the search region is moved and scaled at random in training."""
        return SearchJitter(self.center_jitter, self.scale_jitter)

    def tracking_options(self) -> TrackingOptions:
        """Return how the work on the test set is divided."""
        return TrackingOptions(self.track_processes, self.track_batch)

    def got10k_choice(self) -> Got10kChoice:
        """Return which sequences of GOT-10k are used."""
        listing, excluded = (
            Path(text).expanduser() if text else None for text in (self.got10k_list, self.got10k_exclude)
        )
        return Got10kChoice(self.got10k_split, listing, excluded)

    def pair_augmentation(self) -> PairAugmentation:
        """Return how video pairs are augmented."""
        return PairAugmentation(self.grayscale, self.flip, self.frame_flip, self.brightness, self.augment_frames)
