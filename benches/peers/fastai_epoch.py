"""Trains simple-cnn-bn for an epoch with fastai, as the book's chapter does: a DataBlock over the tree of
PNG files, 1cycle, ActivationStats. Prints one JSON object with the seconds that it took, reading the files
included, as `topedge train --data DIR --epochs 1` does; but not those in which Python imports fastai.

    python benches/peers/fastai_epoch.py DIR

DIR holds training/LABEL/*.png and testing/LABEL/*.png. Needs fastai and torchvision besides.
"""

import json
import sys
import time
from pathlib import Path

import torch.nn.functional as F
from fastai.vision.all import (
    ActivationStats,
    CategoryBlock,
    DataBlock,
    GrandparentSplitter,
    ImageBlock,
    Learner,
    PILImageBW,
    accuracy,
    get_image_files,
    parent_label,
)

from net import simple_cnn_bn

start = time.perf_counter()
block = DataBlock(
    (ImageBlock(cls=PILImageBW), CategoryBlock),
    get_items=get_image_files,
    splitter=GrandparentSplitter("training", "testing"),
    get_y=parent_label,
)
data = block.dataloaders(Path(sys.argv[1]), bs=512)
stats = ActivationStats(with_hist=True)
learner = Learner(data, simple_cnn_bn(), loss_func=F.cross_entropy, metrics=accuracy, cbs=stats)
with learner.no_bar(), learner.no_logging():
    learner.fit_one_cycle(1, 0.06)
line = {
    "case": "fastai",
    "seconds": time.perf_counter() - start,
    "accuracy": float(learner.recorder.values[-1][-1]),
}
print(json.dumps(line))
