"""The engines of the tests of compiled steps."""

import sys
import types

import pytest

from tests.optimizers.compiled_helpers import ENGINES, compiled, run_as_python


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    monkeypatch.setattr(compiled, "SMALL", -1)  # compile arrays of every size
    if request.param == "python":
        numba = types.SimpleNamespace(config=types.SimpleNamespace(DISABLE_JIT=0))
        monkeypatch.setitem(sys.modules, "numba", numba)
        monkeypatch.setattr(compiled, "compile_kernel", run_as_python)
    return request.param
