"""Deploy a finished model of any task with ONNX Runtime or OpenVINO: export, parity with PyTorch, int8."""
