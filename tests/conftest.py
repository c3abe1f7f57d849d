"""A strict host: a known backend, fixed seeds, a clean Keras, and no patch left behind."""

import functools
import gc
import os
import random
import sys
from importlib.metadata import version

import pytest

BACKENDS = ("tensorflow", "jax", "torch")

# Scripts of users, which tests run: to look for doctests in a module is to import it.
collect_ignore = ["aimet_scripts"]

# Asked in the newest environment alone (`once`, `any_keras`), which has what they import to build documents,
# to run notebooks and to open pages. By the version: where a package is missing there, they fail.
if version("keras").startswith("3.14."):
    collect_ignore += ["test_docs.py", "test_notebooks.py", "test_report_page.py"]

if os.environ.get("KERAS_BACKEND") not in BACKENDS:
    raise pytest.UsageError(
        "The tests run on one backend per process, and KERAS_BACKEND does not name one.\n"
        "Type `KERAS_BACKEND=tensorflow pytest` (or jax), or `make test` for all of them."
    )

# Before a backend is imported: quiet, on the CPU, and one thread, so that sums are done in one
# order and several test processes do not fight over the cores.
for name, value in {
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}.items():
    os.environ.setdefault(name, value)

# The zoo stays in memory, and looking through it for garbage again and again takes a tenth of the time.
gc.set_threshold(100_000, 50, 100)

import hypothesis
import keras
import loaded_elsewhere
import numpy as np

if keras.backend.backend() == "torch":
    import torch

    # `jit_compile=True` captures graphs as ever and runs them op by op: to generate and compile C++ for
    # them takes two minutes a model, and a compiler.
    torch.compile = functools.partial(torch.compile, backend="eager")

# `HYPOTHESIS_PROFILE=long` for a night; the default is the same examples at every run.
hypothesis.settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def patches_left() -> tuple[str, ...]:
    """The names in Keras that kerasfx has patched and not restored."""
    patches = sys.modules.get("kerasfx.tracing.patches")
    return patches.patched() if patches else ()


class StrictHost:
    """Registered as a plugin, so that its fixture also surrounds the doctests in src."""

    def pytest_ignore_collect(self, collection_path):
        """Leaves out the modules of src for backends that do not run here."""
        others = tuple(name for name in BACKENDS if name != keras.backend.backend())
        is_dialect = collection_path.parent.name == "native" and collection_path.name.startswith(others)
        return True if is_dialect else None

    @pytest.fixture(autouse=True)
    def strict_host(self):
        """Starts every test with the same seeds and names, and ends it without patches."""
        keras.utils.clear_session(free_memory=False)
        random.seed(0)
        np.random.seed(0)
        keras.utils.set_random_seed(0)
        yield
        assert patches_left() == (), "kerasfx left Keras patched"


def pytest_configure(config):
    config.pluginmanager.register(StrictHost(), "strict-host")
    config.pluginmanager.register(loaded_elsewhere, "loaded-elsewhere")


def pytest_report_header():
    return f"keras {keras.__version__} on {keras.backend.backend()}"
