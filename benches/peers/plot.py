"""Draws the tables of a record as bars: how many times faster than PyTorch each case is.

    python benches/peers/plot.py benches/record/2026-11-27-zen5.md > benches/record/2026-11-27-zen5.svg
"""

import math
import re
import sys
from pathlib import Path

WIDTH, LEFT, ROW, TOP = 760, 210, 15, 44
SHOWN = {
    "train": "training epoch",
    "gemm": "GEMM, m x n x k",
    "forward": "convolution, forward",
    "backward-input": "convolution, backward to input",
    "backward-weight": "convolution, backward to weight",
}


def bars(path):
    """{kind: [(case, times)]} of the first table of each kind, and the threads that their headings name."""
    found, kind, done = {}, None, set()
    heading, threads = "", []
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            heading = line
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            done |= {kind} if kind else set()
            kind = None
        elif cells[-1] == "times" and cells[0] in ("train", "gemm", "conv2d"):
            kind = cells[0]
            if kind not in done:
                threads += re.findall(r"\w+ threads?\b", heading)
        elif kind and kind not in done and not cells[0].startswith("---"):
            case = cells[0]
            group = case.split()[1] if kind == "conv2d" else kind
            case = case.split()[0] if kind == "conv2d" else case
            found.setdefault(group, []).append((case, float(cells[-1])))
    return found, list(dict.fromkeys(threads))


def svg(groups, threads):
    most = max(times for cases in groups.values() for _, times in cases)
    least = min(0.5, min(times for cases in groups.values() for _, times in cases))
    scale = (WIDTH - LEFT - 60) / math.log2(most / least)
    x = lambda times: LEFT + scale * math.log2(times / least)
    parts, y = [], TOP
    for group, cases in groups.items():
        mean = math.exp(sum(math.log(times) for _, times in cases) / len(cases))
        mean = math.floor(100 * mean) / 100
        y += ROW
        title = f"{SHOWN[group]}: geometric mean {mean:.2f}"
        parts.append(f'<text x="{LEFT}" y="{y - 4}" class="title">{title}</text>')
        for case, times in cases:
            left, right = sorted([x(1), x(times)])
            side = "ahead" if times >= 1 else "behind"
            parts += [
                f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{case}</text>',
                f'<rect x="{left:.1f}" y="{y + 2}" width="{right - left:.1f}" height="{ROW - 4}" class="{side}"/>',
                f'<text x="{max(right, x(1)) + 4:.1f}" y="{y + 11}">{times:.2f}</text>',
            ]
            y += ROW
    grid = []
    tick = 0.5
    while tick <= most:
        kind = "one" if tick == 1 else "grid"
        grid += [
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{y}" class="{kind}"/>',
            f'<text x="{x(tick):.1f}" y="{TOP - 6}" text-anchor="middle">{tick:g}x</text>',
        ]
        tick *= 2
    head = "How many times as fast as PyTorch" + "".join(f", {count}" for count in threads)
    style = (
        "text{font:11px sans-serif;fill:#333}.title{font-weight:bold}.ahead{fill:#2a78b8}"
        ".behind{fill:#d08030}.grid{stroke:#ddd}.one{stroke:#555}.head{font-size:13px}"
    )
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 12}" viewBox="0 0 {WIDTH} {y + 12}">',
        f"<style>{style}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="12" y="18" class="head title">{head} (logarithmic)</text>',
        *grid,
        *parts,
        "</svg>",
    ])


print(svg(*bars(Path(sys.argv[1]))))
