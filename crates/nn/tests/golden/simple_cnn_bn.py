"""Writes simple_cnn_bn.json: the state names and shapes of PyTorch's simple-cnn-bn, and what it
answers for weights and images given by formulas, in evaluation and in training.

    python simple_cnn_bn.py
        writes the golden file
    topedge predict MODEL IMAGE... --json | python simple_cnn_bn.py MODEL
        checks that PyTorch loads a saved model (strictly) and sees the same in the images
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn


def conv(ni, nf, ks=3, act=True):
    layers = [nn.Conv2d(ni, nf, ks, stride=2, padding=ks // 2)]
    if act:
        layers.append(nn.ReLU())
    layers.append(nn.BatchNorm2d(nf))
    return nn.Sequential(*layers)


def simple_cnn_bn():
    return nn.Sequential(
        conv(1, 8, ks=5), conv(8, 16), conv(16, 32), conv(32, 64), conv(64, 10, act=False), nn.Flatten()
    )


def wave(shape, frequency):
    """0.2 * sin(frequency * i) at place i."""
    n = torch.Size(shape).numel()
    return (0.2 * torch.sin(frequency * torch.arange(n, dtype=torch.float64))).float().reshape(shape)


def check(path):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}
    model = simple_cnn_bn()
    model.load_state_dict(state, strict=True)
    model.eval()
    classes, normalize = json.loads(metadata["classes"]), json.loads(metadata["normalize"])
    worst, images = 0, 0
    for line in sys.stdin:
        seen = json.loads(line)
        pixels = torch.from_numpy(np.array(Image.open(seen["image"]).convert("L")))
        x = (pixels / 255 - normalize["mean"][0]) / normalize["std"][0]
        probabilities = model(x[None, None]).softmax(1)[0].tolist()
        for name, probability in zip(classes, probabilities, strict=True):
            worst = max(worst, abs(probability - seen["probabilities"][name]))
        images += 1
    print(f"{len(state)} tensors loaded; probabilities of {images} images differ by {worst:.1e} at most")
    sys.exit(images == 0 or worst > 1e-5)


def main():
    if len(sys.argv) > 1:
        return check(Path(sys.argv[1]))
    model = simple_cnn_bn()
    state = model.state_dict()
    for number, (name, tensor) in enumerate(state.items()):
        if name.endswith("num_batches_tracked"):
            continue
        values = wave(tensor.shape, 0.1 * number + 1)
        state[name] = values.abs() + 0.5 if name.endswith("running_var") else values
    model.load_state_dict(state)
    images = 5 * wave([3, 1, 28, 28], 0.7)
    evaluated = model.eval()(images)
    trained = model.train()(images)
    after = model.state_dict()
    golden = {
        "state": [[name, list(tensor.shape)] for name, tensor in after.items()],
        "evaluated": evaluated.flatten().tolist(),
        "trained": trained.flatten().tolist(),
        "running_mean": after["0.2.running_mean"].tolist(),
        "running_var": after["0.2.running_var"].tolist(),
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


main()
