"""Running a model as `predict` does: the same on every backend."""

import contextlib
from collections.abc import Iterator

import keras

from kerasfx.keras_api.running import plain_tensorflow


@contextlib.contextmanager
def predicting(seed: int = 0) -> Iterator[None]:
    """Runs a block as `predict` runs a model, its random numbers starting from `seed`.

    PyTorch records for gradients wherever it is not told otherwise, and hands no such tensor to NumPy;
    its dropout draws from the process, unless the layer was made with a seed. TensorFlow has draws of its
    own, and would compile what a `tf.function` reads.
    """
    if keras.backend.backend() != "torch":
        with plain_tensorflow(seed):
            yield
        return
    import torch

    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def predicted(model, *args, **kwargs):
    """The outputs of a call, in their structure, as arrays."""
    with predicting():
        outputs = model(*args, **kwargs)
    return keras.tree.map_structure(lambda x: None if x is None else keras.ops.convert_to_numpy(x), outputs)
