"""Int8: which nodes take part is said by rules, and the network stays the one it was."""

from __future__ import annotations

from deployment.int8 import ACTIVATION_PRODUCTS, FIRST_CONVOLUTION, find_float_nodes, quantize_model
from deployment.onnxruntime import compute_outputs
from deployment.packages import import_package
from deployment.runtimes import load_runtime_graphs, make_export_files
from tests.deployment.make import (
    compute_logits,
    export_classifier_onnx,
    make_classifier,
    make_images,
    skip_without_runtime,
)

RULES = (ACTIVATION_PRODUCTS, FIRST_CONVOLUTION)


def test_rules_say_what_stays_in_f32() -> None:
    skip_without_runtime("onnx")
    graph = import_package("onnx").load_model_from_string(export_classifier_onnx()).graph
    blocks = len(make_classifier().blocks)
    operators = {node.name: node.op_type for node in graph.node}
    kept = find_float_nodes(graph, RULES)
    assert [operators[name] for name in kept].count("MatMul") == 2 * blocks, "q k^T and the product with v"
    assert [operators[name] for name in kept].count("Conv") == 1, "the patch embedding"
    assert find_float_nodes(graph, ()) == []
    assert all(rule.reason for rule in RULES)


def test_a_classifier_in_int8_is_smaller_and_still_itself() -> None:
    skip_without_runtime("onnx")
    f32 = export_classifier_onnx()
    int8 = quantize_model(f32, make_images(16), RULES)
    assert len(int8) < 0.65 * len(f32), "the weights take a quarter; node names and tables stay"
    (feed,) = make_images(1, seed=1)
    graphs = load_runtime_graphs(make_export_files({"net": int8}, "onnx"), "onnxruntime", "int8", 1)
    ours, theirs = compute_logits(feed)["logits"], graphs["net"](feed)["logits"]
    apart = abs(ours - theirs).max()
    assert 1e-5 < apart < 0.2 * abs(ours).max()


def test_everything_may_be_quantized_where_no_rule_holds_it_back() -> None:
    skip_without_runtime("onnx")
    onnx = import_package("onnx")
    counts = []
    for rules in (RULES, ()):
        graph = onnx.load_model_from_string(quantize_model(export_classifier_onnx(), make_images(2), rules)).graph
        counts.append(sum(node.op_type == "QuantizeLinear" for node in graph.node))
    assert counts[1] > counts[0] > 0


def test_outputs_of_several_inputs() -> None:
    skip_without_runtime("onnx")
    feeds = make_images(3)
    found = compute_outputs(export_classifier_onnx(), feeds)
    assert [each["logits"].shape for each in found] == [(1, 7)] * 3
    assert all(
        abs(each["logits"] - compute_logits(feed)["logits"]).max() < 1e-5
        for each, feed in zip(found, feeds, strict=True)
    )
