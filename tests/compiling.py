"""Training with and without `jit_compile`."""

import pytest

JIT_COMPILE = [False, pytest.param(True, marks=pytest.mark.jit)]
"""Values of `jit_compile`; the oldest Keras, slow in this on PyTorch, is asked by other tests."""
