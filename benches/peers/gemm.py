"""Times PyTorch on the products of shapes/gemm.txt, on the threads that OMP_NUM_THREADS says.

Prints one JSON object for each product.
"""

import json

import torch

from timing import median_seconds, rows

torch.manual_seed(0)
with torch.inference_mode():
    for m, n, k in (map(int, row) for row in rows("benches/shapes/gemm.txt")):
        a, b, c = torch.rand(m, k), torch.rand(k, n), torch.empty(m, n)
        seconds = median_seconds(lambda: torch.mm(a, b, out=c))
        gflops = 2e-9 * m * n * k / seconds
        print(json.dumps({"case": f"{m}x{n}x{k}", "seconds": seconds, "gflops": gflops}), flush=True)
