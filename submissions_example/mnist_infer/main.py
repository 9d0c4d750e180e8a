"""A LeNet-5 that was trained at home, run by onnxruntime: pixels in, the digit out."""

from pathlib import Path

import numpy as np
import onnxruntime

MODEL = Path(__file__).parent / "lenet5.onnx"
MEAN, DEVIATION = 0.1307, 0.3081


def load_model():
    """Once, when the container starts. One thread: a function has a small share of a processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])


def predict(model, pixels):
    """`pixels` are uint8 [height, width], 0 black; the model takes float32 [rows, 1, 28, 28], normalised."""
    image = (pixels.astype(np.float32) / 255 - MEAN) / DEVIATION
    (scores,) = model.run(None, {"images": image[np.newaxis, np.newaxis]})
    return int(scores.argmax())
