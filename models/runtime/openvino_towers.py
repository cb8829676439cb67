"""Exported towers on OpenVINO, on the CPU. The only module that imports `openvino`."""

from collections import deque

import numpy as np
import openvino

from models.encoder import Vectors
from models.runtime.inputs import Inputs, Run


def open_openvino(exported: bytes, threads: int) -> Run:
    """Return what runs an ONNX model on `threads` threads, in bfloat16 where the CPU has it. Safe to call from threads.

    A request of OpenVINO's serves one caller at a time: each call takes an idle one, or a new one.
    """
    core = openvino.Core()
    in_half = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if in_half else "f32",
    }
    compiled = core.compile_model(core.read_model(exported), "CPU", settings)
    idle = deque([compiled.create_infer_request()])

    def run(inputs: Inputs) -> Vectors:
        try:
            request = idle.pop()
        except IndexError:
            request = compiled.create_infer_request()
        features = np.array(request.infer(dict(inputs), share_inputs=True)[0], dtype=np.float32)
        idle.append(request)
        return features

    return run
