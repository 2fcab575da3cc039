"""Measures topedge by itself, in several rounds, and prints Markdown tables of medians.

    python benches/peers/alone.py peak scaling [--rounds 3] [--threads 2]
    python benches/peers/alone.py memory --data DIR [--epochs 1 5]

peak: products of 1024 and 2048 squares on one thread beside the most that it can do, on each instruction set.
scaling: a training step at batch 512, without loading, on several threads against one.
memory: the most that `topedge train` holds at batch 512 on MNIST as IDX files, in DIR, after so many epochs.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from running import example, json_lines, rounded_down, topedge, whole_run, with_threads


def medians(name, args):
    """{case: {figure: median of the rounds}} of an example of topedge-benches."""
    rounds = [json_lines(example(name), with_threads(args.threads)) for _ in range(args.rounds)]
    cases = {}
    for lines in zip(*rounds):
        figures = {key: [line[key] for line in lines] for key in lines[0] if key != "case"}
        cases[lines[0]["case"]] = {key: statistics.median(values) for key, values in figures.items()}
    return cases


def peak(args):
    print("\n| one thread | product, GFLOP/s | peak, GFLOP/s | % of the peak |")
    print("| --- | --- | --- | --- |")
    for case, figures in medians("peak", args).items():
        rate, most = figures["gflops"], figures["peak_gflops"]
        print(f"| {case} | {rate:.1f} | {most:.1f} | {rounded_down(100 * rate / most, 1)} |")


def scaling(args):
    print(f"\n| training step | one thread, ms | {args.threads} threads, ms | times |")
    print("| --- | --- | --- | --- |")
    for case, figures in medians("scaling", args).items():
        one, several = figures["one_thread"], figures["seconds"]
        print(f"| {case} | {1e3 * one:.2f} | {1e3 * several:.2f} | {rounded_down(one / several)} |")


def memory(args):
    program, env = topedge(), with_threads(args.threads)
    print("\n| epochs | MiB at the most |")
    print("| --- | --- |")
    for epochs in args.epochs:
        held = []
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory() as out:
                command = [program, "train", "--data", args.data, "--batch-size", 512]
                command += ["--epochs", epochs, "--out", out, "--json"]
                held.append(whole_run(command, env)[2])
        print(f"| {epochs} | {statistics.median(held):.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    works = {work.__name__: work for work in (peak, scaling, memory)}
    parser.add_argument("work", nargs="+", choices=works)
    parser.add_argument("--data", type=Path, help="folder with MNIST as IDX files, for memory")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 5], help="of the runs of memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of scaling and memory")
    args = parser.parse_args()
    if "memory" in args.work:
        if args.data is None:
            parser.error("memory needs --data")
        args.data = args.data.resolve()
    print(f"{args.rounds} rounds, {args.threads} threads")
    for name in args.work:
        works[name](args)


if __name__ == "__main__":
    main()
