"""Ways to run a backbone's two towers: torch as it is, ONNX Runtime, OpenVINO, CUDA graphs; chosen by measuring."""
