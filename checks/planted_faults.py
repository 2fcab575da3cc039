#!/usr/bin/env python3
"""Plants faults, one at a time, in a copy of the tree, and shows that the check that is meant to catch each
fails with it and passes without.

    checks/planted_faults.py [NAME ...]
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def kernels(*arguments):
    return ["cargo", "test", "-q", "-p", "topedge-kernels", *arguments]


# A fault: its name, the file, what stands there once, what is planted instead, and the check.
FAULTS = [
    (
        "a lane too many is loaded (AVX-512)",
        "crates/kernels/src/arch/avx512.rs",
        """    unsafe fn load_first(p: *const f32, len: usize) -> Self {
        let mask = ((1u32 << len) - 1) as __mmask16;""",
        """    unsafe fn load_first(p: *const f32, len: usize) -> Self {
        let mask = ((2u32 << len) - 1) as __mmask16;""",
        kernels("--test", "guard_pages"),
    ),
    (
        "a lane too many is stored (AVX2)",
        "crates/kernels/src/arch/avx2.rs",
        "unsafe { _mm256_maskstore_ps(p, first(len), self.0) }",
        "unsafe { _mm256_maskstore_ps(p, first(len + 1), self.0) }",
        kernels("--lib", "sweep"),
    ),
    (
        "two lanes are swapped (AVX2)",
        "crates/kernels/src/arch/avx2.rs",
        "_mm256_shuffle_ps::<0x44>(ab_high, cd_high)",
        "_mm256_shuffle_ps::<0x41>(ab_high, cd_high)",
        kernels("--test", "winograd"),
    ),
    (
        "the edge of a tile is off by one",
        "crates/kernels/src/gemm/store.rs",
        "vector.store_first(p, V::LANES.min(columns - first))",
        "vector.store_first(p, V::LANES.min((columns - first).next_multiple_of(2)))",
        kernels("--lib", "sweep"),
    ),
    (
        "the last row of a band is left out",
        "crates/kernels/src/conv2d/backward_weight/packed.rs",
        "first.clamp(0, height) as usize..(last + 1).clamp(0, height) as usize",
        "first.clamp(0, height) as usize..last.clamp(0, height) as usize",
        kernels("--lib", "sweep"),
    ),
    (
        "a vector that is written past the caches is left out",
        "crates/kernels/src/conv2d/channels_last/tiles.rs",
        "for (j, sums) in sums.iter().enumerate() {",
        "for (j, sums) in sums.iter().enumerate().filter(|(j, _)| *j != 1) {",
        kernels("--test", "conv2d", "outputs_larger_than_the_caches"),
    ),
    (
        "a gradient that is read in place is that of another group",
        "crates/kernels/src/conv2d/backward_weight/channels_last.rs",
        "let first = self.operands.group * self.geometry.group_outputs() + panel.first;",
        "let first = panel.first;",
        kernels("--test", "conv2d", "whole_vectors_of_few_channels"),
    ),
    (
        "a tap of a copied band is off by one",
        "crates/kernels/src/conv2d/planar.rs",
        "(vertical - top) as usize, (horizontal - left) as usize",
        "(vertical - top) as usize, (horizontal - left) as usize + 1",
        kernels("--lib", "sweep"),
    ),
    (
        "the caller's floating-point state is not restored",
        "crates/kernels/src/arch/denormals.rs",
        "            control::write(self.caller);",
        "            let _ = self.caller;",
        kernels("--test", "special_values"),
    ),
    (
        "denormals are not flushed",
        "crates/kernels/src/arch/denormals.rs",
        "            control::write(caller | control::FLUSH);",
        "            let _ = caller | control::FLUSH;",
        kernels("--test", "special_values"),
    ),
    (
        "a ReLU swallows NaN",
        "crates/kernels/src/elementwise/activations.rs",
        "    [V::select(x.lt(zero), zero, x)]",
        "    [V::select(zero.lt(x), x, zero)]",
        kernels("--test", "special_values"),
    ),
    (
        "a label outside of the classes is let in",
        "crates/kernels/src/softmax/cross_entropy.rs",
        "if label as usize >= classes {",
        "if label as usize > classes {",
        kernels("--test", "bad_arguments"),
    ),
    (
        "a coefficient of exp is a little off",
        "crates/kernels/src/math.rs",
        "0.166_666_64, 0.041_666_392",
        "0.166_666_64, 0.041_667_392",
        kernels("--test", "math"),
    ),
    (
        "a gradient lacks a square",
        "crates/kernels/src/elementwise/activations.rs",
        "    [dy.mul(splat::<V>(1.0).sub(y.mul(y)))]",
        "    [dy.mul(splat::<V>(1.0).sub(y))]",
        ["cargo", "test", "-q", "-p", "topedge-autograd", "--test", "gradients"],
    ),
    (
        "partial sums are cut by the number of threads",
        "crates/kernels/src/conv2d/backward_weight/direct.rs",
        "pieces: pieces.clamp(1, MAX_PIECES)",
        "pieces: pieces.clamp(1, MAX_PIECES.min(rayon::current_num_threads()))",
        ["cargo", "test", "-q", "-p", "topedge-nn", "--test", "threads"],
    ),
    (
        "places that no tap meets are left out",
        "crates/kernels/src/conv2d/direct.rs",
        "operations / (JOB * convs.len().max(1)) + 1;",
        "operations.div_ceil(JOB * convs.len().max(1));",
        kernels("--lib", "sweep"),
    ),
    (
        "a thread's part of a batch begins with the first row",
        "crates/data/src/batch.rs",
        "channel * plane + part * rows",
        "channel * plane",
        ["cargo", "test", "-q", "-p", "topedge-data", "--test", "suite", "loader"],
    ),
    (
        "a batch leaks a little",
        "crates/data/src/loader.rs",
        "        lock(&self.spare).push(batch);",
        "        std::mem::forget(std::hint::black_box(vec![0_u8; 64]));\n        lock(&self.spare).push(batch);",
        ["cargo", "test", "-q", "-p", "topedge-nn", "--test", "memory"],
    ),
    (
        "the state of the shuffling's generator is another",
        "crates/data/src/loader.rs",
        "generator(&[self.config.seed, epoch])",
        "generator(&[epoch, self.config.seed])",
        ["cargo", "test", "-q", "-p", "topedge-data", "--test", "suite", "loader"],
    ),
    (
        "the state of a checkpoint's generator is another",
        "crates/nn/src/learner/resume.rs",
        "state.context.rng = contents.rng;",
        "let _ = contents.rng;",
        ["cargo", "test", "-q", "-p", "topedge-nn", "--test", "resume"],
    ),
    (
        "a damaged chunk of a PNG is let in",
        "crates/data/src/image_file.rs",
        "if crc.sum() != u32::from_be_bytes(*checksum) {",
        "if false && crc.sum() != u32::from_be_bytes(*checksum) {",
        ["cargo", "test", "-q", "-p", "topedge", "--test", "bad_files"],
    ),
    (
        "a damaged model is let in",
        "crates/nn/src/model_file.rs",
        "if found != recorded {",
        "if false && found != recorded {",
        ["cargo", "test", "-q", "-p", "topedge-nn", "--lib", "model_file"],
    ),
    (
        "memory is taken by what a header says",
        "crates/data/src/idx.rs",
        "    let data = read(len + 1)?;",
        "    drop(vec![1_u8; len]);\n    let data = read(len + 1)?;",
        ["cargo", "test", "-q", "-p", "topedge", "--test", "bad_files"],
    ),
    (
        "a sum is cut by the number of threads",
        "crates/kernels/src/conv2d/backward_weight/direct.rs",
        "pieces: pieces.clamp(1, MAX_PIECES)",
        "pieces: (pieces + rayon::current_num_threads()).clamp(1, MAX_PIECES)",
        kernels("--lib", "sweep"),
    ),
    (
        "a file is renamed before it is flushed",
        "crates/data/src/file.rs",
        "        file.sync_all()?;\n",
        "",
        ["checks/synced"],
    ),
    (
        "the folder of a file is not flushed",
        "crates/data/src/file.rs",
        "    written.and_then(|()| sync_folder_of(path))",
        "    written",
        ["checks/synced"],
    ),
]


def passes(check, tree):
    environment = dict(os.environ, CARGO_TARGET_DIR=str(ROOT / "target/planted"), RUST_BACKTRACE="0")
    result = subprocess.run(check, cwd=tree, env=environment, capture_output=True, text=True)
    output = result.stdout + result.stderr
    # A fault that does not compile shows nothing.
    assert "could not compile" not in output, output
    return result.returncode == 0


def main(names):
    missed = []
    tree = Path(tempfile.mkdtemp(prefix="planted-"))
    try:
        files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
        for name in filter(None, files.split("\0")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        sound = {}
        for name, file, old, new, check in FAULTS:
            if names and not any(part in name for part in names):
                continue
            path = tree / file
            text = path.read_text()
            assert text.count(old) == 1, f"{name}: stands {text.count(old)} times in {file}: {old}"
            command = tuple(check)
            if command not in sound:
                sound[command] = passes(check, tree)
            path.write_text(text.replace(old, new))
            caught = not passes(check, tree)
            path.write_text(text)
            if caught and sound[command]:
                print(f"caught   {name}: {' '.join(check)}", flush=True)
            else:
                problem = "not caught" if sound[command] else "fails without a fault"
                print(f"MISSED   {name}: {' '.join(check)}: {problem}", flush=True)
                missed.append(name)
    finally:
        shutil.rmtree(tree)
    print(f"{len(missed)} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
