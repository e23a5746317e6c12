"""Detectors behind ONNX Runtime or OpenVINO: their parts as graphs, between which boxes are chosen in torch."""
