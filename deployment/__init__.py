"""A finished model behind ONNX Runtime or OpenVINO: export, parity, int8, for any task."""
