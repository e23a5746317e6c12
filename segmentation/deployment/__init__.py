"""Export segmentors for ONNX Runtime and OpenVINO."""
