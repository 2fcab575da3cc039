"""Timing and lists, the same as the examples of topedge-benches have them (topedge::bench)."""

import time
from pathlib import Path

TOTAL = 0.3
SAMPLE = 0.002
SAMPLES = 5


def rows(path):
    """The words of each line of a list that is not a comment; its path is from the project's root."""
    text = (Path(__file__).parent.parent.parent / path).read_text()
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def median_seconds(f):
    """The median time of a call of `f`: of samples that each take some milliseconds."""
    f()
    start = time.perf_counter()
    f()
    once = max(time.perf_counter() - start, 1e-9)
    calls = max(int(-(-SAMPLE // once)), 1)
    samples = []
    begin = time.perf_counter()
    while len(samples) < SAMPLES or time.perf_counter() - begin < TOTAL:
        start = time.perf_counter()
        for _ in range(calls):
            f()
        samples.append((time.perf_counter() - start) / calls)
    return sorted(samples)[len(samples) // 2]
