"""Runs topedge and its peers as processes that print one JSON object a line."""

import json
import math
import os
import subprocess
import time
from pathlib import Path

PEERS = Path(__file__).parent
ROOT = PEERS.parent.parent


def example(name, *arguments):
    """The command that runs an example of topedge-benches."""
    cargo = ["cargo", "run", "--release", "--quiet", "--package", "topedge-benches"]
    return [*cargo, "--example", name, "--", *arguments]


def topedge():
    """Builds the program `topedge`; its path."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "topedge"


def with_threads(threads):
    """The environment in which topedge and its peers run on so many threads."""
    return os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}


def rounded_down(ratio, digits=2):
    """As text, so that `1.00` is not slower."""
    return f"{math.floor(ratio * 10**digits) / 10**digits:.{digits}f}"


def json_lines(command, env):
    output = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return [json.loads(line) for line in output.splitlines()]


def whole_run(command, env):
    """Its last line, its seconds, and the MiB that it held in memory at the most."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), env=env, stdout=subprocess.PIPE, text=True
    )
    last = json.loads(process.stdout.read().splitlines()[-1])
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return last, time.perf_counter() - start, usage.ru_maxrss / 1024
