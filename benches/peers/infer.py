"""Times simple-cnn-bn on images that are ready in memory, in evaluation, on the threads that
OMP_NUM_THREADS says.

    python benches/peers/infer.py onnxruntime|pytorch

Prints one JSON object for each number of images, PyTorch's of the better of NCHW and channels-last. The ONNX graph is built by hand from the layers of
net.py, so that no exporter stands between; batch norm is left to the runtime to fuse.
"""

import json
import os
import sys

import numpy as np
import torch
from torch import nn

from net import FORMATS, simple_cnn_bn
from timing import median_seconds

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))


def onnx_graph(model, count):
    """The layers of `model` as ONNX nodes, for batches of `count`."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors = [], []

    def constant(name, values):
        tensors.append(numpy_helper.from_array(values.detach().numpy(), name))
        return name

    last = "x"
    layers = [layer for layer in model.modules() if not isinstance(layer, nn.Sequential)]
    for i, layer in enumerate(layers):
        name = lambda part: f"{i}.{part}"
        inputs, settings = [last], {}
        if isinstance(layer, nn.Conv2d):
            inputs += [constant(name("weight"), layer.weight), constant(name("bias"), layer.bias)]
            settings = {"strides": layer.stride, "pads": layer.padding * 2}
            kind = "Conv"
        elif isinstance(layer, nn.BatchNorm2d):
            parts = ["weight", "bias", "running_mean", "running_var"]
            inputs += [constant(name(part), getattr(layer, part)) for part in parts]
            settings = {"epsilon": layer.eps}
            kind = "BatchNormalization"
        else:
            kind = {nn.ReLU: "Relu", nn.Flatten: "Flatten"}[type(layer)]
        last = name("y")
        nodes.append(helper.make_node(kind, inputs, [last], **settings))
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    x, y = value("x", [count, 1, 28, 28]), value(last, [count, 10])
    graph = helper.make_graph(nodes, "simple-cnn-bn", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def onnxruntime(model, x):
    """A function that runs `model` on `x` once, and one that returns the scores."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    graph = onnx_graph(model, len(x)).SerializeToString()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    # Bound once, so that no run pays for handing arrays over.
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x.numpy()))
    scores = ort.OrtValue.ortvalue_from_numpy(np.empty((len(x), 10), np.float32))
    binding.bind_ortvalue_output(session.get_outputs()[0].name, scores)
    return lambda: session.run_with_iobinding(binding), scores.numpy


def pytorch(model, x):
    """As `onnxruntime`."""
    return lambda: model(x), lambda: model(x)


torch.manual_seed(0)
torch.set_num_threads(THREADS)
model = simple_cnn_bn().eval()
with torch.inference_mode():
    # Running statistics as training leaves them, not 0 and 1.
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.1, 1)
    peer = {"onnxruntime": onnxruntime, "pytorch": pytorch}[sys.argv[1]]
    formats = FORMATS.values() if peer is pytorch else [torch.contiguous_format]
    for count in [1, 16]:
        x = torch.rand(count, 1, 28, 28)
        expected = model(x)
        seconds = []
        for memory_format in formats:
            model = model.to(memory_format=memory_format)
            run, scores = peer(model, x.to(memory_format=memory_format))
            run()
            assert np.allclose(scores(), expected, rtol=1e-3, atol=1e-4), "other scores than PyTorch's"
            seconds.append(median_seconds(run))
        print(json.dumps({"case": str(count), "seconds": min(seconds)}), flush=True)
