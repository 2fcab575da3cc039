"""Trains simple-cnn-bn on MNIST with PyTorch, by the leanest eager loop: tensors preloaded and
normalised, and the same optimiser and schedule as `topedge train`.

Prints one JSON object for each epoch in NCHW and then for each in channels-last, with the time of the
training pass alone. Threads are those that OMP_NUM_THREADS says.
"""

import argparse
import json
import math
import time

import torch
import torch.nn.functional as F

from net import FORMATS, mnist, simple_cnn_bn


def cosine(start, end, position):
    return end + (start - end) * (1 + math.cos(math.pi * position)) / 2


def one_cycle(position, start, middle, end):
    """fastai's: up over the first quarter, then down."""
    if position < 0.25:
        return cosine(start, middle, position / 0.25)
    return cosine(middle, end, (position - 0.25) / 0.75)


parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="folder with the IDX files")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=512)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=42)
args = parser.parse_args()


def train(format_name, memory_format):
    torch.manual_seed(args.seed)
    model = simple_cnn_bn().to(memory_format=memory_format)
    x = images.to(memory_format=memory_format)
    weights = [p for p in model.parameters() if p.dim() == 4]
    others = [p for p in model.parameters() if p.dim() != 4]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        eps=1e-5,
        fused=True,
    )
    batches = len(x) // args.batch_size
    for epoch in range(args.epochs):
        model.train()
        start = time.perf_counter()
        order = torch.randperm(len(x))
        for i in range(batches):
            position = (epoch * batches + i) / (args.epochs * batches)
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(position, args.lr / 25, args.lr, args.lr / 1e5)
                group["betas"] = (one_cycle(position, 0.95, 0.85, 0.95), 0.99)
            batch = order[i * args.batch_size : (i + 1) * args.batch_size]
            loss = F.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        seconds = time.perf_counter() - start
        model.eval()
        with torch.inference_mode():
            accuracy = (model(x_valid).argmax(1) == y_valid).float().mean().item()
        line = {
            "event": "epoch",
            "format": format_name,
            "epoch": epoch,
            "train_seconds": seconds,
            "accuracy": accuracy,
        }
        print(json.dumps(line), flush=True)


(images, y), (x_valid, y_valid) = mnist(args.data)
for format_name, memory_format in FORMATS.items():
    train(format_name, memory_format)
