"""Post-training int8: ranges from crops of training photographs, kept in the graph as quantise-dequantise pairs."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.data import photographs
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.synthetic_pairs import PhotoPairSampler
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH
from tracking.deployment.graph_network import NamedArrays
from tracking.deployment.manifest import Calibration
from tracking.deployment.packages import import_package

CALIBRATION_PAIRS, CALIBRATION_SEED = 64, 20_002
QUANTIZATION_METHOD = "min-max; weights int8 by channel, activations uint8"
FLOAT_PARTS = "attention products, softmax, norms, the patch embedding and the last convolution of each tower"


def make_calibration_crops(sizes: CropSizes, num_pairs: int = CALIBRATION_PAIRS) -> list[NamedArrays]:
    """Template and search crops of the embedded training photographs, as training makes them; never of a test set."""
    maker = PhotoPairSampler(photographs.load_photos(photographs.TRAIN_PHOTOS), sizes, SearchJitter(3.0, 0.25))
    made = (maker.sample_pair(np.random.default_rng((CALIBRATION_SEED, number))) for number in range(num_pairs))
    return [{"template": pair.template[None], "search": pair.search[None]} for pair in made]


def describe_calibration() -> Calibration:
    """What ``quantize_graphs`` does, for the manifest."""
    return Calibration(
        source="pairs of the embedded training photographs",
        fingerprint=photographs.fingerprint_photos(photographs.TRAIN_PHOTOS),
        pairs=CALIBRATION_PAIRS,
        seed=CALIBRATION_SEED,
        method=QUANTIZATION_METHOD,
        float_parts=FLOAT_PARTS,
    )


def quantize_graphs(models: Mapping[str, bytes], sizes: CropSizes) -> dict[str, bytes]:
    """Graphs in int8.

    Args:
        models: f32 ONNX by graph name, both where the template is remembered.
        sizes: of the crops.
    """
    feeds = make_calibration_crops(sizes)
    if TEMPLATE_GRAPH in models:
        session = import_package("onnxruntime").InferenceSession(
            models[TEMPLATE_GRAPH], providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        memories = [dict(zip(names, session.run(names, {"template": feed["template"]}), strict=True)) for feed in feeds]
        searches = [{**memory, "search": feed["search"]} for memory, feed in zip(memories, feeds, strict=True)]
        templates = [{"template": feed["template"]} for feed in feeds]
        return {
            TEMPLATE_GRAPH: _quantize_model(models[TEMPLATE_GRAPH], templates),
            SEARCH_GRAPH: _quantize_model(models[SEARCH_GRAPH], searches),
        }
    return {JOINT_GRAPH: _quantize_model(models[JOINT_GRAPH], feeds)}


def _quantize_model(model: bytes, feeds: list[NamedArrays]) -> bytes:
    quantization, onnx = import_package("onnxruntime.quantization"), import_package("onnx")
    proto = onnx.load_model_from_string(model)
    with tempfile.TemporaryDirectory() as folder, _silence_logging():
        path = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            proto,
            path,
            _CalibrationReader(feeds),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul"],
            nodes_to_exclude=find_float_nodes(proto.graph),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return path.read_bytes()


def find_float_nodes(graph: Any) -> list[str]:
    """The nodes that stay in f32: products of two activations, the first convolution, those that give the maps."""
    constants = {tensor.name: tensor.dims for tensor in graph.initializer}
    products = [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in constants]
    shapes = {node.name: tuple(constants[node.input[1]]) for node in graph.node if node.op_type == "Conv"}
    first = [name for name, (_, channels, *_) in shapes.items() if channels == 3]
    last = [name for name, (*_, side) in shapes.items() if side == 1]
    return [*products, *first, *last]


@contextlib.contextmanager
def _silence_logging() -> Iterator[None]:
    """The quantiser advises a preparation through the root logger; ``graphs`` has done it already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _CalibrationReader:
    def __init__(self, feeds: list[NamedArrays]) -> None:
        self.feeds: Iterator[NamedArrays] = iter(feeds)

    def get_next(self) -> NamedArrays | None:
        return next(self.feeds, None)
