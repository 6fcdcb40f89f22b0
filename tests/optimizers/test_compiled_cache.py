"""A kernel is compiled once: for all optimizers, steps and processes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.optimizers import CosineDecay
from tests.optimizers.compiled_helpers import compiled, make_pair, numba_only

pytestmark = pytest.mark.usefixtures("engine")


@numba_only
def test_kernels_are_shared_and_numbers_compile_nothing_again():
    compiled.compile_kernel.cache_clear()
    _, first = make_pair(optimizers.Adam, [3, 4])
    first.compile()
    once = compiled.compile_kernel.cache_info().misses
    _, second = make_pair(optimizers.Adam, [7, 2, 5], lr=0.5, beta1=0.8, weight_decay=0.0)
    second.compile()
    for step in range(5):
        first.lr, second.lr = 0.1 / (step + 1), CosineDecay(0.1, 9)
        first.step()
        second.step()
    assert once <= 2  # the first update, and every other one
    assert compiled.compile_kernel.cache_info().misses == once


def test_a_step_traces_nothing_that_it_has_traced(monkeypatch):
    count = []
    trace = compiled.trace_update
    monkeypatch.setattr(compiled, "trace_update", lambda *a: count.append(1) or trace(*a))
    _, optimizer = make_pair(optimizers.Adam, [3, 4], lr=CosineDecay(0.1, 9), momentum=0.5)
    optimizer.compile()
    for _ in range(3):
        optimizer.step()
    count.clear()
    for _ in range(5):
        optimizer.step()
    assert not count


@numba_only
@pytest.mark.slow
def test_another_process_finds_the_kernels_on_disk(tmp_path):
    code = """
import importlib, numpy as np
from minigrad.optimizers import Adam, Parameter
compiled = importlib.import_module("minigrad.optimizers.compiled")
kernels, original = [], compiled.compile_kernel
compiled.compile_kernel = lambda *a: kernels.append(original(*a)) or kernels[-1]
w = Parameter(np.ones(3, np.float32), np.ones(3, np.float32))
Adam([w]).compile().step()
print(sum(kernel.stats.cache_misses.total() for kernel in kernels), len(kernels), w.data)
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (cold, n, *w), (warm, m, *v) = (run.stdout.split() for run in runs)
    assert int(cold) > 0 and warm == "0"
    assert n == m and w == v


@numba_only
@pytest.mark.parametrize("error", [RuntimeError, OSError, EOFError])
def test_a_cache_that_fails_costs_only_time(error, monkeypatch):
    import numba

    original = numba.njit

    def njit(*, cache, **options):
        if cache:
            raise error("cannot cache function: no locator available")
        return original(**options)

    compiled.compile_kernel.cache_clear()
    monkeypatch.setattr(numba, "njit", njit)
    _, optimizer = make_pair(optimizers.SGD, [3], lr=0.5)
    optimizer.compile().step()
    assert np.array_equal(optimizer.parameters["0"].data, np.full(3, 1 - 0.5 * 0.3))
    compiled.compile_kernel.cache_clear()
