"""The recipes of pre-training. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from engine.recipe import StrictConfig, TrainingRecipe


class KnnMonitorSettings(StrictConfig):
    """A k-NN classification now and then, on items of the training split only: is anything learnt, has it collapsed?

    Attributes:
        interval: epochs (or iterations) between two checks; 0 for one at the end only. A multiple of ``val_interval``.
        bank_size, num_queries: images that vote, images that are classified.
        k, temperature: of the vote.
    """

    interval: NonNegativeInt = 0
    bank_size: PositiveInt = 2000
    num_queries: PositiveInt = 500
    k: PositiveInt = 20
    temperature: PositiveFloat = 0.07


class PretrainRecipe(TrainingRecipe):
    """Adds input, average and health check to a recipe.

    Attributes:
        img_size: side of the square input, pixels; ``None`` is the card's own.
        scale: smallest and largest share of the area that a random resized crop takes.
        flip: probability of a horizontal flip.
        ema: decay of a running average of the encoder, which is then what is exported; ``None``: there is none.
        knn_monitor: the k-NN check; on data without labels there is none.
    """

    img_size: PositiveInt | None = None
    scale: list[float] = Field(default=[0.2, 1.0], min_length=2, max_length=2)
    flip: float = Field(default=0.5, ge=0, le=1)
    ema: float | None = Field(default=None, gt=0, lt=1)
    knn_monitor: KnnMonitorSettings = KnnMonitorSettings()

    @model_validator(mode="after")
    def _check_ranges(self) -> PretrainRecipe:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale {self.scale} is no range of shares of the area")
        if self.knn_monitor.interval % self.val_interval:
            raise ValueError(
                f"knn_monitor.interval {self.knn_monitor.interval} must be a multiple of val_interval "
                f"{self.val_interval}"
            )
        return self


class DecoderShape(StrictConfig):
    """The decoder; ``None``: half the encoder's width, a head for 32 channels (table 1.1 of the papers' small ViTs)."""

    width: PositiveInt | None = None
    depth: PositiveInt = 1
    heads: PositiveInt | None = None


class MaskedRecipe(PretrainRecipe):
    """Masked autoencoding.

    Attributes:
        mask_ratio: share of the patches (of Hiera: of the mask units) that the encoder does not see.
        norm_pix: targets are normalised by the mean and unbiased variance of their own patch.
        positions: ``fixed`` sines and cosines in encoder and decoder, or ``learned`` ones.
        visible_loss: weight of the loss on visible patches; 0 is MAE.
        decoder: its size.
    """

    mask_ratio: float = Field(default=0.75, gt=0, lt=1)
    norm_pix: bool = True
    positions: Literal["fixed", "learned"] = "fixed"
    visible_loss: NonNegativeFloat = 0.0
    decoder: DecoderShape = DecoderShape()


class Distillation(StrictConfig):
    """What a student is to have in common with its teacher; layers are counted from 1.

    Where no teacher's layer is named, layer ``s`` of a student of depth ``S`` goes with layer ``round(s T / S)`` of a
    teacher of depth ``T`` (halves up): the last with the last.

    Attributes:
        attention: weight of the loss on attention logits.
        attention_layers: the student's layers; empty: its last.
        attention_targets: the teacher's, one each; empty: by the rule.
        hidden: weight of the loss on hidden states.
        hidden_layers: state 0 is what goes into the first block, state l what comes out of block l; each normed by the
            next norm there is. Empty: the last.
        hidden_targets: the teacher's, one each; empty: by the rule.
    """

    attention: NonNegativeFloat = 1.0
    attention_layers: list[PositiveInt] = Field(default_factory=list)
    attention_targets: list[PositiveInt] = Field(default_factory=list)
    hidden: NonNegativeFloat = 0.0
    hidden_layers: list[NonNegativeInt] = Field(default_factory=list)
    hidden_targets: list[NonNegativeInt] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_targets(self) -> Distillation:
        for name in ("attention", "hidden"):
            layers, targets = getattr(self, f"{name}_layers"), getattr(self, f"{name}_targets")
            if targets and len(targets) != len(layers):
                raise ValueError(f"{name}_targets names {len(targets)} layers for {len(layers)} of the student's")
        if not (self.attention or self.hidden):
            raise ValueError("attention and hidden are both 0, so nothing is distilled; run method mae for that")
        return self


class DistillRecipe(MaskedRecipe):
    """Masked autoencoding with a teacher."""

    distill: Distillation = Distillation()


class DecoupledRecipe(DistillRecipe):
    """``decode_layer``: the block whose output is reconstructed from; ``None``: two thirds of the depth (8 of 12)."""

    decode_layer: PositiveInt | None = None


class SimmimRecipe(PretrainRecipe):
    """SimMIM.

    Attributes:
        mask_ratio: share of the units that are masked, rounded up.
        mask_patch_size: side of a unit, pixels.
    """

    mask_ratio: float = Field(default=0.6, gt=0, lt=1)
    mask_patch_size: PositiveInt = 32


class SimmimDistillRecipe(SimmimRecipe):
    """Decoupled: ``attention`` is the weight of the logits' loss, ``decoder_width`` that of the decoder's block."""

    attention: PositiveFloat = 1.0
    decoder_width: PositiveInt = 96


class ColorAugmentation(StrictConfig):
    """The colour part of the two-crop augmentation; pairs are for the first and the second crop.

    Attributes:
        jitter: brightness, contrast, saturation, hue; applied with probability ``jitter_p``.
        grayscale_p: probability of a grey image.
        blur_p: probabilities of a Gaussian blur of sigma 0.1 to 2.0 pixels at 224, in proportion at other sizes.
        solarize_p: probabilities of inverting all above the middle.
    """

    jitter: list[NonNegativeFloat] = Field(default=[0.4, 0.4, 0.2, 0.1], min_length=4, max_length=4)
    jitter_p: float = Field(default=0.8, ge=0, le=1)
    grayscale_p: float = Field(default=0.2, ge=0, le=1)
    blur_p: list[float] = Field(default=[1.0, 0.1], min_length=2, max_length=2)
    solarize_p: list[float] = Field(default=[0.0, 0.2], min_length=2, max_length=2)


class MocoRecipe(PretrainRecipe):
    """MoCo-v3. Pieces of a batch are other negatives and other batch statistics, so ``accumulate`` is no neutral here.

    Attributes:
        temperature: of the contrastive loss.
        momentum: of the momentum encoder at the start; rises to 1 by a cosine.
        hidden_dim, out_dim: widths of projector and predictor.
        freeze_patch_embed: leave the patch projection as initialised.
        color_augmentation: the augmentation.
    """

    NON_IDENTITY_FIELDS = frozenset({"workers", "loggers"})

    scale: list[float] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    temperature: PositiveFloat = 0.2
    momentum: float = Field(default=0.99, ge=0, lt=1)
    hidden_dim: PositiveInt = 4096
    out_dim: PositiveInt = 256
    freeze_patch_embed: bool = False
    color_augmentation: ColorAugmentation = ColorAugmentation()
