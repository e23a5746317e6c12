"""Quantize a tracker to int8, with ranges from crops of training photographs. What outputs the maps stays in f32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deployment.graph_io import NamedArrays
from deployment.int8 import (
    ACTIVATION_PRODUCTS,
    FIRST_CONVOLUTION,
    QUANTIZATION_METHOD,
    FloatRule,
    quantize_model,
)
from deployment.manifest import Calibration
from deployment.onnxruntime import compute_outputs
from engine.data import photographs
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.synthetic_pairs import PhotoPairSampler
from tracking.deployment.graph_names import SEARCH_GRAPH, TEMPLATE_GRAPH

# another seed than those of training and validation pairs
CALIBRATION_PAIRS, CALIBRATION_SEED = 64, 20_002
MAP_CONVOLUTIONS = FloatRule(
    "Conv",
    lambda shape: shape is not None and shape[-1] == 1,
    "the 1x1 convolutions at the end of each tower give the maps, of which single cells become a box",
)
TRACKER_FLOAT_RULES = (ACTIVATION_PRODUCTS, FIRST_CONVOLUTION, MAP_CONVOLUTIONS)
# the same in words, for the manifest
FLOAT_PARTS = "attention products, softmax, norms, the patch embedding and the last convolution of each tower"


def make_calibration_crops(sizes: CropSizes, num_pairs: int = CALIBRATION_PAIRS) -> list[NamedArrays]:
    """Create template and search crops from the embedded training photographs, in the same way as for training.

    Photographs of test sequences are never used.

    Args:
        sizes: sizes of the crops.
        num_pairs: number of pairs.

    Returns:
        Inputs of the graphs: ``template`` and ``search``, bytes of shape (1, side, side, 3).
    """
    # the default jitter of training
    maker = PhotoPairSampler(photographs.load_photos(photographs.TRAIN_PHOTOS), sizes, SearchJitter(3.0, 0.25))
    made = (maker.sample_pair(np.random.default_rng((CALIBRATION_SEED, number))) for number in range(num_pairs))
    return [{"template": pair.template[None], "search": pair.search[None]} for pair in made]


def describe_calibration() -> Calibration:
    """Return what ``quantize_graphs`` does, for the manifest."""
    return Calibration(
        source="pairs of the embedded training photographs",
        fingerprint=photographs.fingerprint_photos(photographs.TRAIN_PHOTOS),
        samples=CALIBRATION_PAIRS,
        seed=CALIBRATION_SEED,
        method=QUANTIZATION_METHOD,
        float_parts=FLOAT_PARTS,
    )


def quantize_graphs(models: Mapping[str, bytes], sizes: CropSizes) -> dict[str, bytes]:
    """Quantize the graphs of a tracker to int8.

    Args:
        models: f32 ONNX models by the name of their graph.
        sizes: sizes of the crops.

    Returns:
        The int8 ONNX models by the name of their graph.
    """
    feeds = make_calibration_crops(sizes)
    # The search graph is calibrated with the f32 outputs of the template graph, so that its ranges do not include the
    # rounding of int8.
    templates = [{"template": feed["template"]} for feed in feeds]
    encoded = compute_outputs(models[TEMPLATE_GRAPH], templates)
    searches = [{**memory, "search": feed["search"]} for memory, feed in zip(encoded, feeds, strict=True)]
    return {
        TEMPLATE_GRAPH: quantize_model(models[TEMPLATE_GRAPH], templates, TRACKER_FLOAT_RULES),
        SEARCH_GRAPH: quantize_model(models[SEARCH_GRAPH], searches, TRACKER_FLOAT_RULES),
    }
