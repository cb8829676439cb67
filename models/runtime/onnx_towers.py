"""Exported towers on ONNX Runtime, on the CPU. The only module that runs `onnxruntime`."""

import numpy as np
import onnxruntime

from models.encoder import Vectors
from models.runtime.inputs import Inputs, Run

_ERRORS_ONLY = 3


def open_onnx(exported: bytes, threads: int) -> Run:
    """Return what runs an ONNX model on `threads` threads. Safe to call from threads.

    The threads sleep between calls: spinning ones would take the cores from those that search and decode.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Vectors:
        [features] = session.run(None, dict(inputs))
        return np.asarray(features, dtype=np.float32)

    return run
