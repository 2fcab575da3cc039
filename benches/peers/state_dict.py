"""Model files between topedge and PyTorch.

    python benches/peers/state_dict.py write DIR          a PyTorch model, for topedge to read
    python benches/peers/state_dict.py check MODEL RUN    a topedge model, read by PyTorch

RUN holds `images`, as the network sees them (normalised), and the `logits` that its writer computed
for them. golden/ keeps both directions: pytorch.* was written by `write`, topedge.* by the example
`golden` of topedge-benches; tests/golden.rs reads pytorch.* as `check` reads topedge.*.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from net import simple_cnn_bn

METADATA = {
    "topedge.format": "1",
    "net": "simple-cnn-bn",
    "classes": json.dumps([str(digit) for digit in range(10)]),
    "image_shape": json.dumps([1, 28, 28]),
    "normalize": json.dumps({"mean": [0.1307], "std": [0.3081]}),
}


def write(folder):
    torch.manual_seed(13)
    model = simple_cnn_bn()
    with torch.no_grad():
        for parameter in model.parameters():
            # Batch norm's start, ones and zeros, would hide a mistake.
            if parameter.dim() == 1:
                parameter.add_(torch.rand_like(parameter) - 0.5)
        for _ in range(20):
            model(torch.randn(64, 1, 28, 28))
        model.eval()
        images = torch.randn(3, 1, 28, 28)
        run = {"images": images, "logits": model(images)}
    save_file(model.state_dict(), folder / "pytorch.safetensors", METADATA)
    save_file(run, folder / "pytorch.run.safetensors")


def check(path, run_path):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}
    classes, shape = json.loads(metadata["classes"]), json.loads(metadata["image_shape"])
    if metadata["topedge.format"] != "1" or metadata["net"] != "simple-cnn-bn":
        sys.exit(f"{path}: not a model of simple-cnn-bn: {metadata}")
    model = simple_cnn_bn(shape[0], len(classes))
    model.load_state_dict(state, strict=True)
    model.eval()
    run = load_file(run_path)
    with torch.inference_mode():
        logits = model(run["images"])
    torch.testing.assert_close(logits, run["logits"], rtol=1e-5, atol=1e-5)
    error = (logits - run["logits"]).abs().max().item()
    print(f"{path}: {len(state)} tensors loaded; logits of {len(logits)} images within {error:.1e}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", folder]:
            write(Path(folder))
        case ["check", path, run]:
            check(path, run)
        case _:
            sys.exit(__doc__)
