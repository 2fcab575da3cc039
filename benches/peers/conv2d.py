"""Times PyTorch on the convolutions that `topedge bench` measures, on the threads that OMP_NUM_THREADS says.

Prints one JSON object for each pass of each layer, of the better of NCHW and channels-last.
"""

import json

import torch
import torch.nn.functional as F

from net import FORMATS
from timing import median_seconds, rows


def passes(batch, channels, size, filters, kernel, stride, padding, memory_format):
    """The three passes as functions, and the operations of each."""
    x = torch.rand(batch, channels, size, size).to(memory_format=memory_format)
    w = torch.rand(filters, channels, kernel, kernel).to(memory_format=memory_format)
    bias = torch.rand(filters)
    y = F.conv2d(x, w, bias, stride, padding)
    dy = torch.rand_like(y)

    def backward(mask):
        torch.ops.aten.convolution_backward(
            dy, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, mask
        )

    return 2 * y.numel() * channels * kernel * kernel, {
        "forward": lambda: F.conv2d(x, w, bias, stride, padding),
        "backward-input": lambda: backward([True, False, False]),
        "backward-weight": lambda: backward([False, True, False]),
    }


torch.manual_seed(0)
with torch.inference_mode():
    for name, *numbers in rows("crates/topedge/src/bench/conv2d.txt"):
        best = {}
        for format_name, memory_format in FORMATS.items():
            operations, functions = passes(*map(int, numbers), memory_format)
            for pass_name, f in functions.items():
                time = median_seconds(f)
                best[pass_name] = min(best.get(pass_name, (time, format_name)), (time, format_name))
        for pass_name, (seconds, format_name) in best.items():
            line = {
                "case": f"{name} {pass_name}",
                "format": format_name,
                "seconds": seconds,
                "gflops": operations / seconds / 1e9,
            }
            print(json.dumps(line), flush=True)
