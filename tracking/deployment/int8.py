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
from tracking.data.pair import CropSizes, Jitter
from tracking.data.synthetic_pairs import PhotoPairs
from tracking.deployment.graph_names import JOINT, RECALL, REMEMBER
from tracking.deployment.graph_network import Feeds
from tracking.deployment.manifest import Calibration
from tracking.deployment.packages import package

PAIRS, SEED = 64, 20_002
METHOD = "min-max; weights int8 by channel, activations uint8"
KEPT = "attention products, softmax, norms, the patch embedding and the last convolution of each tower"


def crops(sizes: CropSizes, pairs: int = PAIRS) -> list[Feeds]:
    """Template and search crops of the embedded training photographs, as training makes them; never of a test set."""
    maker = PhotoPairs(photographs.load(photographs.TRAIN), sizes, Jitter(3.0, 0.25))
    made = (maker.make(np.random.default_rng((SEED, number))) for number in range(pairs))
    return [{"template": pair.template[None], "search": pair.search[None]} for pair in made]


def calibration() -> Calibration:
    """What ``quantised`` does, for the manifest."""
    return Calibration(
        source="pairs of the embedded training photographs",
        fingerprint=photographs.fingerprint(photographs.TRAIN),
        pairs=PAIRS,
        seed=SEED,
        method=METHOD,
        kept=KEPT,
    )


def quantised(models: Mapping[str, bytes], sizes: CropSizes) -> dict[str, bytes]:
    """Graphs in int8.

    Args:
        models: f32 ONNX by graph name, both where the template is remembered.
        sizes: of the crops.
    """
    feeds = crops(sizes)
    if REMEMBER in models:
        session = package("onnxruntime").InferenceSession(models[REMEMBER], providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        memories = [dict(zip(names, session.run(names, {"template": feed["template"]}), strict=True)) for feed in feeds]
        searches = [{**memory, "search": feed["search"]} for memory, feed in zip(memories, feeds, strict=True)]
        templates = [{"template": feed["template"]} for feed in feeds]
        return {
            REMEMBER: _quantised(models[REMEMBER], templates),
            RECALL: _quantised(models[RECALL], searches),
        }
    return {JOINT: _quantised(models[JOINT], feeds)}


def _quantised(model: bytes, feeds: list[Feeds]) -> bytes:
    quantization, onnx = package("onnxruntime.quantization"), package("onnx")
    proto = onnx.load_model_from_string(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            proto,
            path,
            _Reader(feeds),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul"],
            nodes_to_exclude=kept(proto.graph),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return path.read_bytes()


def kept(graph: Any) -> list[str]:
    """The nodes that stay in f32: products of two activations, the first convolution, those that give the maps."""
    constants = {tensor.name: tensor.dims for tensor in graph.initializer}
    products = [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in constants]
    shapes = {node.name: tuple(constants[node.input[1]]) for node in graph.node if node.op_type == "Conv"}
    first = [name for name, (_, channels, *_) in shapes.items() if channels == 3]
    last = [name for name, (*_, side) in shapes.items() if side == 1]
    return [*products, *first, *last]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises a preparation through the root logger; ``graphs`` has done it already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Reader:
    def __init__(self, feeds: list[Feeds]) -> None:
        self.feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self.feeds, None)
