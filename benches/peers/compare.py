"""Runs topedge and its peers in turn, several rounds, and prints a Markdown table of medians.

    python benches/peers/compare.py gemm conv2d infer train --data DIR [--rounds 5] [--threads 2]
    python benches/peers/compare.py epoch --tree DIR

Needs a Python with what requirements.txt lists. `times` in the table is how many times faster
topedge is. The peer is PyTorch, in the better of its memory formats; for infer also onnxruntime, for
epoch fastai.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from running import PEERS, example, json_lines, rounded_down, topedge, whole_run, with_threads

BATCH_SIZES = [512, 64]
INFER_PEERS = ["onnxruntime", "pytorch"]
# glibc gives large blocks back to the kernel once they are freed, those of 32 MiB and more always. A convolution
# of PyTorch allocates its result, so that a call would wait for fresh pages full of zeros, whereas topedge writes
# where it wrote before. With these settings freed memory stays in the process. In training, inference and GEMM
# no call takes fresh pages as it is.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


def kernels(name, env):
    """Seconds of each case of gemm or conv2d, by topedge and by PyTorch; rates are wanted."""

    def seconds(command, env):
        return {line["case"]: (line["seconds"], line["gflops"]) for line in json_lines(command, env)}

    theirs = [sys.executable, PEERS / f"{name}.py"]
    return seconds(example(name), env), seconds(theirs, env | KEEP_MEMORY)


def infer(env):
    """Seconds of each number of images, by topedge and by each of its peers."""

    def seconds(command):
        return {line["case"]: line["seconds"] for line in json_lines(command, env)}

    ours = seconds(example("infer"))
    peers = [seconds([sys.executable, PEERS / "infer.py", peer]) for peer in INFER_PEERS]
    return ours, *peers


def infer_table(rounds):
    """Medians over the rounds; each round has {case: seconds} for topedge and each peer."""
    header = "".join(f" {peer}, us | times |" for peer in INFER_PEERS)
    print(f"\n| images at once | topedge, us |{header}")
    print("| --- | --- |" + " --- | --- |" * len(INFER_PEERS))
    for case in rounds[0][0]:
        ours, *peers = [statistics.median(side[case] for side in sides) for sides in zip(*rounds)]
        cells = "".join(f" {1e6 * peer:.1f} | {rounded_down(peer / ours)} |" for peer in peers)
        print(f"| {case} | {1e6 * ours:.1f} |{cells}")


def train(args, env):
    """Seconds of a training pass, by topedge and by PyTorch: the median of the epochs."""

    def seconds(command):
        """The median of the epochs, in the better memory format if there are several."""
        formats = {}
        for line in json_lines(command, env):
            formats.setdefault(line.get("format"), []).append(line["train_seconds"])
        return min(map(statistics.median, formats.values()))

    ours, theirs = {}, {}
    for batch_size in BATCH_SIZES:
        flags = ["--data", args.data, "--epochs", args.epochs, "--batch-size", batch_size, "--lr", 0.1]
        command = example("train", args.data, args.epochs, batch_size, 0.1)
        ours[f"batch {batch_size}"] = (seconds(command), None)
        command = [sys.executable, PEERS / "train.py", *flags]
        theirs[f"batch {batch_size}"] = (seconds(command), None)
    return ours, theirs


def epoch(tree, env):
    """Seconds and MiB of a whole run of one epoch that reads a tree of images, by topedge and by fastai."""
    sides = []
    with tempfile.TemporaryDirectory() as out:
        ours = [topedge(), "train", "--data", tree, "--epochs", 1, "--out", out, "--json"]
        for command in [ours, [sys.executable, "-W", "ignore", PEERS / "fastai_epoch.py", tree]]:
            last, seconds, held = whole_run(command, env)
            sides.append((last.get("seconds", seconds), held, last["accuracy"]))
    return sides


def epoch_table(rounds):
    print("\n| epoch | topedge | fastai | times |")
    print("| --- | --- | --- | --- |")
    for i, (what, digits) in enumerate([("seconds", 2), ("MiB at the most", 0), ("accuracy", 4)]):
        ours, theirs = [statistics.median(r[side][i] for r in rounds) for side in (0, 1)]
        times = rounded_down(theirs / ours) if i < 2 else ""
        print(f"| {what} | {ours:.{digits}f} | {theirs:.{digits}f} | {times} |")


def table(name, rounds):
    """Medians over the rounds; each round is a pair of {case: (seconds, GFLOP/s)}."""
    unit = "s/epoch" if name == "train" else "GFLOP/s"
    print(f"\n| {name} | topedge, {unit} | PyTorch, {unit} | times |")
    print("| --- | --- | --- | --- |")
    for case in rounds[0][0]:
        seconds = [statistics.median(r[side][case][0] for r in rounds) for side in (0, 1)]
        shown = [f"{s:.3f}" for s in seconds]
        if name != "train":
            shown = [f"{statistics.median(r[side][case][1] for r in rounds):.0f}" for side in (0, 1)]
        print(f"| {case} | {shown[0]} | {shown[1]} | {rounded_down(seconds[1] / seconds[0])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", nargs="+", choices=["gemm", "conv2d", "infer", "train", "epoch"])
    parser.add_argument("--data", type=Path, help="folder with MNIST as IDX files, for train")
    parser.add_argument("--tree", type=Path, help="folder with MNIST as PNG files, for epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of one round of train")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if "train" in args.work:
        if args.data is None:
            parser.error("train needs --data")
        args.data = args.data.resolve()
    if "epoch" in args.work:
        if args.tree is None:
            parser.error("epoch needs --tree")
        args.tree = args.tree.resolve()
    env = with_threads(args.threads)
    print(f"{args.rounds} rounds, {args.threads} threads")
    for name in args.work:
        if name == "infer":
            infer_table([infer(env) for _ in range(args.rounds)])
            continue
        if name == "epoch":
            epoch_table([epoch(args.tree, env) for _ in range(args.rounds)])
            continue
        run = (lambda: train(args, env)) if name == "train" else (lambda: kernels(name, env))
        table(name, [run() for _ in range(args.rounds)])


if __name__ == "__main__":
    main()
