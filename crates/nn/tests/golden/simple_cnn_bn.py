"""Writes simple_cnn_bn.json: the state names and shapes of PyTorch's simple-cnn-bn, and what it
answers for weights and images given by formulas, in evaluation and in training.

    python simple_cnn_bn.py                      writes the golden file
    python simple_cnn_bn.py MODEL.safetensors    checks that PyTorch loads a saved model (strictly)
"""

import json
import sys
from pathlib import Path

import torch
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


def main():
    model = simple_cnn_bn()
    if len(sys.argv) > 1:
        from safetensors.torch import load_file

        print(model.load_state_dict(load_file(sys.argv[1]), strict=True))
        return
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
