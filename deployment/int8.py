"""Post-training quantization to int8, with the ranges of activations taken from given inputs.

The result is an ONNX graph with pairs of quantize and dequantize operators, which both runtimes understand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from deployment.graph_io import NamedArrays
from deployment.packages import import_package
from engine.progress_bar import ProgressBar
from foundation.library_logs import silence_logging
from foundation.storage.disk_space import require_space
from foundation.storage.leftovers import open_scratch_folder

INT8_OPERATORS = ("Conv", "MatMul")
"""Linear layers and convolutions have nearly all weights and multiplications of a network; the rest stays in f32."""
QUANTIZATION_METHOD = "min-max; weights int8 by channel, activations uint8"

WeightShape = tuple[int, ...]


class FloatRule(NamedTuple):
    """A rule for nodes that stay in f32 although their operator has an int8 form.

    Attributes:
        operator: ONNX operator of the nodes.
        matches: returns whether a node stays in f32, given the shape of its weight, or ``None`` if its second input is
            computed.
        reason: why.
    """

    operator: str
    matches: Callable[[WeightShape | None], bool]
    reason: str


ACTIVATION_PRODUCTS = FloatRule(
    "MatMul", lambda shape: shape is None, "both factors of an attention product change with the input"
)
FIRST_CONVOLUTION = FloatRule(
    "Conv", lambda shape: shape is not None and shape[1] == 3, "it reads pixels, and every later layer reads its error"
)


def quantize_model(model: bytes, feeds: Sequence[NamedArrays], float_rules: Sequence[FloatRule]) -> bytes:
    """Quantize an ONNX model to int8.

    Args:
        model: the model in f32.
        feeds: inputs by name, from which the range of each activation is taken; never those of a test set.
        float_rules: rules for nodes that stay in f32.

    Returns:
        The quantized ONNX model.
    """
    quantization, onnx = import_package("onnxruntime.quantization"), import_package("onnx")
    proto = onnx.load_model_from_string(model)
    # the quantizer logs the advice to prepare the model, which ``onnx_export`` has done already
    with (
        open_scratch_folder("calibrate") as folder,
        silence_logging(logging.WARNING),
        ProgressBar("calibrate int8", "inputs", len(feeds)) as bar,
    ):
        # the quantizer writes the graph once more while it prepares it
        require_space(folder, len(model), "the unfinished files of this export")
        path = folder / "int8.onnx"
        quantization.quantize_static(
            proto,
            path,
            _CalibrationReader(feeds, bar),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(INT8_OPERATORS),
            nodes_to_exclude=find_float_nodes(proto.graph, float_rules),
            # one scale per output channel of a weight, because channels differ widely in their range
            per_channel=True,
            # unsigned activations with signed weights are the combination for which CPUs have the fastest instructions
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # exact ranges, without clipping outliers
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return path.read_bytes()


def find_float_nodes(graph: Any, float_rules: Sequence[FloatRule]) -> list[str]:
    """Return the names of the nodes of an ONNX graph that stay in f32.

    Args:
        graph: the ONNX graph.
        float_rules: the rules.
    """
    # the second input of Conv and MatMul is the weight; an input that is computed is not among the initializers
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if any(rule.operator == node.op_type and rule.matches(weights.get(node.input[1])) for rule in float_rules)
    ]


class _CalibrationReader:
    """Returns inputs one by one, with the method that ONNX Runtime's quantizer expects."""

    def __init__(self, feeds: Sequence[NamedArrays], bar: ProgressBar) -> None:
        self.feeds: Iterator[NamedArrays] = iter(feeds)
        self.bar = bar
        self.is_computing = False

    def get_next(self) -> NamedArrays | None:
        """Return the next input; the one before has been computed by then."""
        if self.is_computing:
            self.bar.advance()
        found = next(self.feeds, None)
        self.is_computing = found is not None
        return found
