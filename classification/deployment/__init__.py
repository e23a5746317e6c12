"""Export classifiers for ONNX Runtime and OpenVINO."""
