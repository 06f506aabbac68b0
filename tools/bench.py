"""Measures what the book promises about time and size; fails where a promise is missed."""

import gzip
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import book

SITE = book.ROOT / "_build/html"  # `make bench` has built it

IMPORT = """
import numpy, pkgutil, time
start = time.perf_counter()
import nbcode
for module in pkgutil.iter_modules(nbcode.__path__):
    if module.name not in ("networks", "training", "_stack"):  # these are about torch
        __import__(f"nbcode.{module.name}")
print(time.perf_counter() - start)
"""
COMPRESSED = {".woff", ".woff2", ".png", ".jpg"}  # a server sends these as they are


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def execute_two_at_a_time(paths):
    """As `make run` does, with one thread each; and once, not twice."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(book.execute, paths))


def call(*command, cwd=book.ROOT):
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def chapters():

    def alone(path):  # with as many threads as a reader's torch takes by itself
        book.execute(path, OMP_NUM_THREADS=str(os.cpu_count()))

    each = [seconds(alone, path) for path in book.chapters()]
    yield "one chapter, executed: the median", 30, statistics.median(each), "s"
    yield "one chapter, executed: the slowest", 60, max(each), "s"
    both = seconds(execute_two_at_a_time, book.chapters())
    yield "the whole book, executed two at a time", 240, both, "s"


def make_book():
    with tempfile.TemporaryDirectory() as folder:
        call("git", "clone", "--quiet", str(book.ROOT), folder)

        def make():
            call("make", "book", cwd=folder)

        yield "make book, from a fresh clone", 90, seconds(make), "s"
        shutil.rmtree(Path(folder, "_build"))
        yield "make book, once installed", 30, seconds(make), "s"


def imports():
    def measure(_):
        command = [sys.executable, "-c", IMPORT]
        return float(subprocess.run(command, capture_output=True, check=True).stdout)

    took = statistics.median(map(measure, range(5)))
    yield "import of nbcode and its modules, beyond numpy", 0.2, took, "s"


def small_models():
    """Pairs (name, model, batch): a residual net, a plain one with BN, a transformer."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.branch = nn.Sequential(
                *(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
                *(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)),
            )

        def forward(self, x):
            return torch.relu(x + self.branch(x))

    def convolution(inputs, out):
        return nn.Conv2d(inputs, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()

    def pooled(width):
        return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)

    torch.manual_seed(0)
    blocks = [Block(32) for _ in range(8)]
    residual = nn.Sequential(*convolution(3, 32), *blocks, *pooled(32))
    layers = [convolution(n, m) for n, m in ((3, 16), (16, 32), (32, 64), (64, 64))]
    plain = nn.Sequential(*itertools.chain(*layers), *pooled(64))
    layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    transformer = nn.Sequential(encoder, nn.Flatten(), nn.Linear(8 * 64, 10))
    pictures = torch.randn(128, 3, 32, 32)
    return (
        ("residual net", residual, pictures[:32]),
        ("conv net with BN", plain, pictures),
        ("transformer", transformer, torch.randn(256, 8, 64)),
    )


def probed():
    """CPU time of probe over that of the same forward and backward, by turns."""
    import torch
    import torch.nn.functional as F

    from nbcode import signals

    torch.set_num_threads(1)
    for name, model, x in small_models():
        y, ratios = torch.arange(len(x)) % 10, []
        for _ in range(15):
            start = time.process_time()
            F.cross_entropy(model(x), y).backward()
            model.zero_grad()
            middle = time.process_time()
            signals.probe(model, (x, y), loss=F.cross_entropy, lr=0.1)
            ratios.append((time.process_time() - middle) / (middle - start))
        yield f"probe of a {name}, against none", 1.3, statistics.median(ratios), "times"


def files():
    largest = max(path.stat().st_size for path in book.chapters())
    yield "the largest notebook file", 1, largest / 1e6, "MB"


def weight(address):
    """How many MB a server sends for it, compressed."""
    path = SITE / urlsplit(address).path.lstrip("/")
    content = path.read_bytes()
    return len(content if path.suffix in COMPRESSED else gzip.compress(content)) / 1e6


def visits():
    from browser import CHAPTERS, chromium, open_page, served_site

    with chromium() as browser, served_site(SITE) as site:

        def asked_for(chapter):
            page, asked = browser.new_page(), set()
            page.on("request", lambda request: asked.add(request.url))
            open_page(page, f"{site}/{chapter}")
            page.wait_for_load_state("networkidle")
            page.close()
            return {url for url in asked if not url.startswith("data:")}

        visits = list(map(asked_for, CHAPTERS))
    own = [{url for url in asked if url.startswith(site)} for asked in visits]
    first = max(sum(map(weight, urls)) for urls in own)
    further = max(sum(map(weight, b - a)) for a in own for b in own)
    third = set.union(*visits) - set.union(*own)
    yield "a chapter's page, first visit, compressed", 1.5, first, "MB"
    yield "a further chapter's page, compressed", 0.5, further, "MB"
    yield "requests to third parties", 0, len(third), ""


def grids(networks=64, width=64, depth=8, steps=50, batch_size=16):
    """CPU time of a grid, on one thread: at once, by torch's vmap, one by one; by turns."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch.func import functional_call, grad_and_value, stack_module_state, vmap

    from nbcode import datasets, training

    torch.set_num_threads(1)
    data = datasets.digits(rng=np.random.default_rng(0))
    widths = [data.x_train.shape[1], *[width] * depth, 10]
    rng = np.random.default_rng(1)
    shapes = [(networks, n, m) for m, n in itertools.pairwise(widths)]
    weights = [rng.normal(0, (2 / s[2]) ** 0.5, s).astype("float32") for s in shapes]
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train)

    def batches():
        rng = np.random.default_rng(2)
        for _ in range(steps):
            rows = torch.tensor(rng.choice(len(x), batch_size, replace=False))
            yield x[rows], y[rows]

    def at_once():
        return training.train(
            weights, data.x_train, data.y_train, learning_rate=[0.01] * networks,
            steps=steps, batch_size=batch_size, rng=np.random.default_rng(2),
        ).loss  # fmt: skip

    def build(run):
        layers = []
        for w in weights:
            linear = torch.nn.Linear(w.shape[2], w.shape[1])
            linear.weight.data, linear.bias.data[:] = torch.tensor(w[run]), 0
            layers += [linear, torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])

    stacked, _ = stack_module_state([build(run) for run in range(networks)])
    skeleton = build(0).to("meta")

    def loss_of(parameters, x, y):
        return F.cross_entropy(functional_call(skeleton, parameters, (x,)), y)

    step = vmap(grad_and_value(loss_of), in_dims=(0, None, None))

    def by_vmap():
        parameters = {name: p.detach().clone() for name, p in stacked.items()}
        losses = []
        for batch in batches():
            grads, loss = step(parameters, *batch)
            for name, p in parameters.items():
                p.sub_(grads[name], alpha=0.01)
            losses.append(loss.numpy())
        return np.array(losses)

    def one(run):
        model, losses = build(run), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for bx, by in batches():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(bx), by)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    def one_by_one():
        return np.transpose([one(run) for run in range(networks)])

    ways, took = (at_once, by_vmap, one_by_one), []
    want = one_by_one()  # it also warms up, as the next two do
    for way in (at_once, by_vmap):
        np.testing.assert_allclose(way(), want, rtol=1e-3)
    for _ in range(5):
        clock = [time.process_time()]
        for way in ways:
            way()
            clock.append(time.process_time())
        took.append(np.diff(clock))
    ours, vmapped, singly = np.transpose(took)
    share = statistics.median(ours / singly)
    yield "a grid trained at once: share of one by one", 1 / 5, share, ""
    share = statistics.median(ours / vmapped)
    yield "a grid trained at once: share of torch.func.vmap", 1 / 1.3, share, ""


def main():
    missed = 0
    print(f"{'what':48}{'at most':>12}{'measured':>12}")
    for rows in (files, imports, probed, grids, visits, chapters, make_book):
        for what, limit, measured, unit in rows():
            over = measured > limit
            missed += over
            told = f"{limit:g} {unit}", f"{measured:.3g} {unit}"
            print(f"{what:48}{told[0]:>12}{told[1]:>12}{'  MISSED' * over}", flush=True)
    sys.exit(f"{missed} of the budgets missed" if missed else 0)


if __name__ == "__main__":
    main()
