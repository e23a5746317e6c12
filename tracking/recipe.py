"""The recipe of a tracking protocol."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from deployment.formats import Precision
from engine.recipe import StrictConfig, TrainingRecipe
from tracking.data.crops import CropGeometry
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.video_pairs import PairAugmentation
from tracking.inference.options import Runtime, TrackingOptions
from tracking.models.candidate_elimination import CandidateElimination


class DatasetWeights(StrictConfig):
    """Weights of the training sets; 0 leaves one out.

    ``photos``: pairs made of embedded photographs. ``mini_lasot``: its training split. The others stand below the
    data root: ``lasot``, ``got10k``, ``trackingnet``, ``coco``; ``trackfolder``: the user's ``train`` folder.
    """

    photos: NonNegativeFloat = 0.0
    mini_lasot: NonNegativeFloat = 0.0
    lasot: NonNegativeFloat = 0.0
    got10k: NonNegativeFloat = 0.0
    trackingnet: NonNegativeFloat = 0.0
    coco: NonNegativeFloat = 0.0
    trackfolder: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _has_nonzero_weight(self) -> DatasetWeights:
        if not self.nonzero_weights():
            raise ValueError("all weights are 0; training needs at least one source")
        return self

    def nonzero_weights(self) -> dict[str, float]:
        """The sources with a weight."""
        return {name: weight for name, weight in self.model_dump().items() if weight > 0}


class TrackingRecipe(TrainingRecipe):
    """Adds crops, pairs, the network's options and the losses to a recipe.

    Attributes:
        template_size, search_size: sides of the crops, pixels; multiples of the patch.
        template_factor, search_factor: how many times the target's side (square root of its area) a crop shows.
        geometry: ``ostrack`` or ``exact``, see ``tracking.data.crops``.
        center_jitter, scale_jitter: of the search region in training.
        pairs: in an epoch.
        val_pairs: watched while training; nothing is chosen by them.
        max_frame_gap: furthest distance of the two frames of a pair.
        dataset_weights: training sets and their weights.
        got10k_exclude: file with GOT-10k sequences to leave out.
        grayscale, flip, frame_flip, brightness: augmentation of video pairs.
        skip_unreadable: pass over unreadable frames and count them in the record, instead of stopping.
        drop_path: stochastic depth of the last block.
        head_channels: 256 in OSTrack; 64 is far cheaper.
        use_ce: candidate elimination on; ``ce`` says where and when.
        asymmetric_attention: the template attends to itself only, so that tracking computes it once.
        box_loss_cell: where size and offset are taught: the best ``predicted`` cell (OSTrack), or the true
            ``center``'s.
        focal_weight, giou_weight, l1_weight: of the losses.
        track_processes: on a CPU, processes of one thread that track the test set; as many as cores where not set
            (cannot change the number: every frame is computed alike).
        track_batch: on a GPU, sequences advanced side by side. As another device does, another batch rounds
            differently, and the record says which was used.
        runtime: what tracks the test sequences: ``torch``, or ``onnxruntime`` and ``openvino`` after an export.
        runtime_precision: of that runtime: ``f32``, ``bf16`` or ``int8``.
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = TrainingRecipe.NON_IDENTITY_FIELDS | {
        "track_processes",
        "track_batch",
    }

    template_size: PositiveInt
    search_size: PositiveInt
    template_factor: PositiveFloat = 2.0
    search_factor: PositiveFloat = 4.0
    geometry: CropGeometry = "ostrack"
    center_jitter: NonNegativeFloat = 3.0
    scale_jitter: NonNegativeFloat = 0.25
    pairs: PositiveInt
    val_pairs: PositiveInt
    max_frame_gap: PositiveInt = 200
    dataset_weights: DatasetWeights
    got10k_exclude: str | None = None
    grayscale: float = Field(default=0.05, ge=0, le=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    frame_flip: float = Field(default=0.5, ge=0, le=1)
    brightness: float = Field(default=0.2, ge=0, le=1)
    skip_unreadable: bool = False
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    head_channels: PositiveInt = Field(default=256, multiple_of=8)
    use_ce: bool = False
    ce: CandidateElimination = CandidateElimination()
    asymmetric_attention: bool = False
    box_loss_cell: Literal["predicted", "center"] = "predicted"
    focal_weight: NonNegativeFloat = 1.0
    giou_weight: NonNegativeFloat = 2.0
    l1_weight: NonNegativeFloat = 5.0
    track_processes: PositiveInt | None = None
    track_batch: PositiveInt = 16
    runtime: Runtime = "torch"
    runtime_precision: Precision = "f32"

    def identity_settings(self) -> dict[str, Any]:
        """As any recipe's; the runtime is in it where it is another than the one that was there before it could be."""
        identity = super().identity_settings()
        if (self.runtime, self.runtime_precision) == ("torch", "f32"):
            del identity["runtime"], identity["runtime_precision"]
        return identity

    def crop_sizes(self) -> CropSizes:
        """How crops are cut."""
        return CropSizes(self.template_size, self.search_size, self.template_factor, self.search_factor, self.geometry)

    def search_jitter(self) -> SearchJitter:
        """How the search region misses the target."""
        return SearchJitter(self.center_jitter, self.scale_jitter)

    def tracking_options(self) -> TrackingOptions:
        """How the test set is tracked."""
        return TrackingOptions(self.track_processes, self.track_batch)

    def pair_augmentation(self) -> PairAugmentation:
        """What is done to video pairs."""
        return PairAugmentation(self.grayscale, self.flip, self.frame_flip, self.brightness)
