"""simple-cnn-bn as topedge builds it, in PyTorch, and MNIST as tensors."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import nn

# PyTorch's memory formats: the peers are measured in both, and the better counts.
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def conv(inputs, filters, kernel=3, relu=True):
    """Convolution of stride 2, ReLU, batch norm."""
    layers = [nn.Conv2d(inputs, filters, kernel, stride=2, padding=kernel // 2)]
    if relu:
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.BatchNorm2d(filters))


def simple_cnn_bn(channels=1, classes=10):
    return nn.Sequential(
        conv(channels, 8, 5),
        conv(8, 16),
        conv(16, 32),
        conv(32, 64),
        conv(64, classes, relu=False),
        nn.Flatten(),
    )


def idx(folder, name):
    """An IDX file of bytes, gzip or plain, as a tensor."""
    path = Path(folder) / name
    data = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4).astype(int)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    return torch.tensor(values.reshape(shape))


def mnist(folder):
    """Training and test images, normalised by the training set's mean and deviation; labels."""
    splits = []
    for prefix in ("train", "t10k"):
        x = idx(folder, f"{prefix}-images-idx3-ubyte")[:, None].float() / 255
        y = idx(folder, f"{prefix}-labels-idx1-ubyte").long()
        splits.append((x, y))
    std, mean = torch.std_mean(splits[0][0])
    return [((x - mean) / std, y) for x, y in splits]
