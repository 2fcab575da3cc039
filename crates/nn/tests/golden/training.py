"""Writes training.json: what fastai and PyTorch make of random inputs, in each part of training.

    python training.py

Made with fastai 2.8.12 and PyTorch 2.15.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
from fastai.basics import *  # noqa: E402, F403
from fastai.callback.all import *  # noqa: E402, F403

torch.manual_seed(13)
rng = np.random.default_rng(13)


def numbers(tensor):
    return [float(x) for x in torch.as_tensor(tensor).detach().flatten()]


def schedules():
    positions = sorted(rng.uniform(0, 1, 30).tolist() + [0.0, 0.25, 0.75])
    lr = 0.037
    weights = [0.1, 0.6, 0.3]
    pieces = [SchedLin(0.02, 0.3), SchedPoly(0.3, 0.1, 2), SchedExp(0.1, 1e-4)]
    sgdr = [2 * 2**i / 14 for i in range(3)]
    made = {
        "one_cycle_lr": combined_cos(0.25, lr / 25, lr, lr / 1e5),
        "one_cycle_momentum": combined_cos(0.25, 0.95, 0.85, 0.95),
        "flat_cos": combined_cos(0.75, lr, lr, lr / 1e5),
        "sgdr": combine_scheds(sgdr, [SchedCos(lr, 0)] * 3),
        "combined": combine_scheds(weights, pieces),
    }
    values = {name: [float(f(p)) for p in positions] for name, f in made.items()}
    return {"lr": lr, "positions": positions, "values": values}


def activation_stats():
    x = torch.randn(6, 5, 7, 9) * 3 + 1
    # At edges of bins too.
    x[0, 0, 0, :5] = torch.tensor([0.0, 0.05, 10.0, 0.25, 9.75])
    seen = ActivationStats(with_hist=True).hook(None, None, x)
    keys = ["mean", "std", "near_zero"]
    return {"x": numbers(x), "hist": numbers(seen["hist"]), **{k: seen[k] for k in keys}}


def steps(make, decoupled_only_weights):
    weight, bias = (nn.Parameter(torch.randn(n)) for n in (6, 3))
    start = [numbers(weight), numbers(bias)]
    optimizer = make([weight, bias])
    if decoupled_only_weights:
        optimizer.state[bias]["do_wd"] = False
    gradients, values = [], []
    for _ in range(5):
        for p in (weight, bias):
            p.grad = torch.randn_like(p)
        gradients.append([numbers(weight.grad), numbers(bias.grad)])
        optimizer.step()
        values.append([numbers(weight), numbers(bias)])
    return {"start": start, "gradients": gradients, "values": values}


def optimizers():
    return {
        "adam_fastai": steps(lambda p: Adam(p, lr=0.05, wd=0.1), True),
        "adam_pytorch": steps(lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.1), False),
        "sgd_fastai": steps(lambda p: SGD(p, lr=0.05, mom=0.9, wd=0.1), True),
        "sgd_pytorch": steps(lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), False),
    }


def smoothed_loss():
    class Learn:
        pass

    losses = torch.rand(50) * 3
    smooth, learn, values = AvgSmoothLoss(), Learn(), []
    for learn.loss in losses:
        smooth.accumulate(learn)
        values.append(float(smooth.value))
    return {"losses": numbers(losses), "values": values}


def lr_find():
    curves = []
    for kind in range(8):
        n = [100, 83, 100, 60, 40, 100, 22, 100][kind]
        lrs = [1e-7 * (10 / 1e-7) ** (i / 100) for i in range(n)]
        t = np.arange(n) / n
        losses = 2.3 - (0.3 + 0.2 * kind) / (1 + np.exp(-12 * (t - 0.6)))
        losses += np.where(t > 0.85, (t - 0.85) * 10 * (kind % 3), 0) + rng.normal(0, 0.003 * kind, n)
        # As lr_find cuts them.
        cut = torch.tensor(lrs[10:-5], dtype=torch.float64), torch.tensor(losses[10:-5])
        suggestions = {f.__name__: None for f in (valley, steep, minimum, slide)}
        for f in (valley, steep, minimum, slide):
            if f is slide and len(cut[1]) < 16:
                continue
            lr, (at, loss) = f(*cut, 100)
            suggestions[f.__name__] = [float(lr), float(at), float(loss)]
        curves.append({"lrs": lrs, "losses": losses.tolist(), "suggestions": suggestions})
    return curves


def batch_norm():
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    golden = {"weight": numbers(norm.weight), "bias": numbers(norm.bias), "batches": []}
    for n in (4, 2, 5):
        x = (torch.randn(n, 3, 2, 3) * 2 + 1).requires_grad_()
        dy = torch.randn(n, 3, 2, 3)
        norm.zero_grad()
        y = norm(x)
        y.backward(dy)
        names = {"x": x, "dy": dy, "y": y, "dx": x.grad}
        names |= {"dweight": norm.weight.grad, "dbias": norm.bias.grad}
        names |= {"running_mean": norm.running_mean, "running_var": norm.running_var}
        golden["batches"].append({name: numbers(t) for name, t in names.items()})
    x = torch.randn(2, 3, 2, 3)
    golden["evaluated"] = {"x": numbers(x), "y": numbers(norm.eval()(x))}
    return golden


def normalize():
    pixels = torch.randint(0, 256, (7, 3, 5, 4), dtype=torch.uint8)
    x = pixels.float() / 255
    axes = (0, 2, 3)
    # fastai's `Normalize.setups`
    mean, std = x.mean(axes, keepdim=True), x.std(axes, keepdim=True) + 1e-7
    values = (x - mean) / std
    return {
        "pixels": numbers(pixels),
        "mean": numbers(mean),
        "std": numbers(std),
        "values": numbers(values),
    }


def cross_entropy():
    cases = []
    for smoothing in (0.0, 0.1, 0.4):
        for weights in (None, torch.rand(5) + 0.1):
            x = (torch.randn(8, 5) * 2).requires_grad_()
            labels = torch.randint(0, 5, (8,))
            settings = {"weight": weights, "label_smoothing": smoothing}
            loss = F.cross_entropy(x, labels, **settings)
            loss.backward()
            each = F.cross_entropy(x, labels, reduction="none", **settings)
            cases.append({
                "smoothing": smoothing,
                "weights": None if weights is None else numbers(weights),
                "x": numbers(x),
                "labels": labels.tolist(),
                "loss": float(loss.detach()),
                "gradient": numbers(x.grad),
                "each": numbers(each),
            })
    return cases


def clipping():
    cases = []
    for max_norm in (0.5, 3.0, 100.0):
        p = [nn.Parameter(torch.zeros(n)) for n in (6, 3)]
        for q in p:
            q.grad = torch.randn_like(q) * 2
        before = [numbers(q.grad) for q in p]
        nn.utils.clip_grad_norm_(p, max_norm)
        cases.append({"max_norm": max_norm, "before": before, "after": [numbers(q.grad) for q in p]})
    return cases


def patches():
    cutmix, cases = CutMix(), []
    cutmix.learn = type("Learn", (), {"x": torch.zeros(1)})()
    for _ in range(10):
        share = torch.rand(1)
        state = torch.get_rng_state()
        centre = [int(torch.randint(0, 20, (1,))), int(torch.randint(0, 28, (1,)))]
        torch.set_rng_state(state)
        x1, y1, x2, y2 = (int(v) for v in cutmix.rand_bbox(20, 28, share))
        cases.append([float(share), centre[1], centre[0], y1, y2, x1, x2])
    return cases


parts = [schedules, activation_stats, optimizers, smoothed_loss, lr_find, batch_norm, normalize]
parts += [cross_entropy, clipping, patches]
golden = {part.__name__: part() for part in parts}
golden["even_mults"] = numbers(even_mults(1e-4, 3e-2, 4))
Path(__file__).with_suffix(".json").write_text(json.dumps(golden) + "\n")
