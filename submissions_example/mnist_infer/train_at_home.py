"""Trains LeNet-5 on this machine and writes lenet5.onnx. Needs torch, numpy and onnx; two minutes on two cores.

python train_at_home.py FOLDER    # with MNIST's four IDX files, uncompressed
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

MODEL = Path(__file__).parent / "lenet5.onnx"
MEAN, DEVIATION = 0.1307, 0.3081
BATCH, EPOCHS, RATE, MOMENTUM = 64, 6, 0.02, 0.9
SHIFT = 1
OPSET, IR_VERSION = 13, 8


def lenet5() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def images(folder: Path, kind: str) -> Tensor:
    """Float32 [rows, 1, 28, 28], normalised."""
    pixels = np.frombuffer((folder / f"{kind}-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    return (torch.from_numpy(pixels.copy()).view(-1, 1, 28, 28) / 255 - MEAN) / DEVIATION


def labels(folder: Path, kind: str) -> Tensor:
    classes = np.frombuffer((folder / f"{kind}-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    return torch.from_numpy(classes.astype(np.int64))


def train(model: nn.Module, inputs: Tensor, classes: Tensor) -> None:
    """The images are moved by up to a pixel: digits are not always in the middle."""
    optimiser = torch.optim.SGD(model.parameters(), RATE, MOMENTUM)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(inputs)).split(BATCH):
            down, right = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows].roll((down, right), (2, 3))), classes[rows]).backward()
            optimiser.step()
        schedule.step()


def as_onnx(model: nn.Sequential) -> onnx.ModelProto:
    """Layer by layer: the model has three kinds with parameters, and no exporter is needed for these."""
    nodes, weights, before = [], [], "images"
    for number, layer in enumerate(model):
        after = "scores" if number == len(model) - 1 else f"layer{number}"
        names = [f"{number}.weight", f"{number}.bias"] if list(layer.parameters()) else []
        weights += [
            numpy_helper.from_array(one.detach().numpy(), name) for name, one in layer.named_parameters(str(number))
        ]
        nodes.append(node_of(layer, [before, *names], after))
        before = after
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["rows", 1, 28, 28])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 10])]
    graph = helper.make_graph(nodes, "lenet5", inputs, outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(made, full_check=True)
    return made


def node_of(layer: nn.Module, inputs: list[str], output: str) -> onnx.NodeProto:
    if isinstance(layer, nn.Conv2d):
        return helper.make_node("Conv", inputs, [output], kernel_shape=[5, 5], pads=[int(layer.padding[0])] * 4)
    if isinstance(layer, nn.Linear):
        return helper.make_node("Gemm", inputs, [output], transB=1)
    if isinstance(layer, nn.MaxPool2d):
        return helper.make_node("MaxPool", inputs, [output], kernel_shape=[2, 2], strides=[2, 2])
    return helper.make_node("Relu" if isinstance(layer, nn.ReLU) else "Flatten", inputs, [output])


def main(folder: Path) -> None:
    torch.manual_seed(1)
    model = lenet5()
    train(model, images(folder, "train"), labels(folder, "train"))
    onnx.save(as_onnx(model), MODEL)
    with torch.inference_mode():
        right = model(images(folder, "t10k")).argmax(1) == labels(folder, "t10k")
    print(f"{MODEL.name}: {MODEL.stat().st_size} bytes, accuracy on the test images {right.double().mean().item():.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
