"""Writes parity.json: what PyTorch answers where frameworks tend to differ. Inputs are given by
formulas: `wave(shape, f)` is sin(f * i) at place i.

    python parity.py
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


def wave(shape, frequency):
    n = torch.Size(shape).numel()
    return torch.sin(frequency * torch.arange(n, dtype=torch.float64)).float().reshape(shape)


def flat(tensor):
    # Seven digits are all that a float has.
    return [list(tensor.shape), [float(f"{v:.7g}") for v in tensor.detach().flatten().tolist()]]


def run(layer, shape):
    """The output for wave(shape, .7), and the gradients of sum(output * wave(.., .3))."""
    for parameter, frequency in zip(layer.parameters(), (0.9, 1.1)):
        parameter.data = wave(parameter.shape, frequency)
    x = wave(shape, 0.7).requires_grad_()
    y = layer(x)
    (y * wave(y.shape, 0.3)).sum().backward()
    return {"y": flat(y), "dx": flat(x.grad), "dw": [flat(p.grad) for p in layer.parameters()]}


def convolutions():
    cases = []
    for mode in ("zeros", "reflect", "replicate", "circular"):
        for padding in ((1, 2), "same"):
            layer = nn.Conv2d(2, 3, (4, 3), padding=padding, dilation=(1, 2), padding_mode=mode)
            cases.append({"mode": mode, "same": padding == "same", **run(layer, (2, 2, 5, 6))})
    return cases


def transposed():
    cases = []
    for config in (
        dict(stride=1, padding=0, output_padding=0, dilation=1, groups=1),
        dict(stride=2, padding=1, output_padding=1, dilation=1, groups=1),
        dict(stride=(2, 3), padding=(1, 0), output_padding=(0, 2), dilation=(2, 1), groups=2),
    ):
        layer = nn.ConvTranspose2d(4, 6, (3, 2), **config)
        pairs = {name: n if isinstance(n, tuple) else (n, n) for name, n in config.items()}
        pairs["groups"] = config["groups"]
        cases.append({"config": pairs, **run(layer, (2, 4, 3, 4))})
    return cases


def pools():
    cases = []
    for kernel, stride, padding, ceil_mode, size in (
        (2, 2, 0, False, (5, 6)),
        (3, 2, 1, True, (6, 5)),
        (2, 3, 1, True, (4, 4)),  # the last window would start in the padding
        ((3, 2), (1, 1), (1, 1), False, (4, 5)),
        (3, 1, 1, False, (4, 4)),
    ):
        both = lambda n: n if isinstance(n, tuple) else (n, n)
        config = {"kernel": both(kernel), "stride": both(stride), "padding": both(padding), "ceil_mode": ceil_mode}
        shape = (1, 2, *size)
        cases.append({
            "config": config,
            "shape": shape,
            "max": run(nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode), shape),
            "counted": run(nn.AvgPool2d(kernel, stride, padding, ceil_mode), shape),
            "uncounted": run(nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad=False), shape),
        })
    return cases


def ties():
    """Overlapping windows over equal values and a NaN: where the gradient goes."""
    x = torch.tensor([[1.0, 3.0, 3.0, 0.0], [3.0, 2.0, 3.0, float("nan")], [1.0, 1.0, 1.0, 1.0]])
    x = x[None, None].requires_grad_()
    y = F.max_pool2d(x, 2, 1)
    y.backward(torch.arange(1.0, y.numel() + 1).reshape(y.shape))
    return {"y": [None if v != v else v for v in y.flatten().tolist()], "dx": x.grad.flatten().tolist()}


def cross_entropies():
    cases = []
    logits, labels = wave((5, 4), 0.7), [3, 0, 2, 1, 2]
    for weights in (None, [0.5, 2.0, 1.0, 0.25]):
        for smoothing in (0.0, 0.2):
            for ignored in (None, 2):
                x = logits.clone().requires_grad_()
                loss = F.cross_entropy(
                    x,
                    torch.tensor(labels),
                    weight=None if weights is None else torch.tensor(weights),
                    label_smoothing=smoothing,
                    ignore_index=-100 if ignored is None else ignored,
                )
                loss.backward()
                cases.append({
                    "weights": weights, "smoothing": smoothing, "ignored": ignored,
                    "loss": loss.item(), "dx": flat(x.grad),
                })
    return cases


golden = {
    "convolutions": convolutions(),
    "transposed": transposed(),
    "pools": pools(),
    "ties": ties(),
    "cross_entropies": cross_entropies(),
}
Path(__file__).with_name("parity.json").write_text(json.dumps(golden) + "\n")
