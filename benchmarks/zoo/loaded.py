"""Loads a prepared model where the package of the original cannot be imported, and runs it once.

python -P loaded.py DIRECTORY PACKAGE    reads prepared.keras and inputs.npz, writes outputs.npz
"""

import sys
from pathlib import Path

import numpy as np


class Blocked:
    """Refuses to import a package."""

    def __init__(self, package: str):
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if self.package and name.partition(".")[0] == self.package:
            raise ImportError(f"{name} must not be needed to load a prepared model")


def main(directory: Path, package: str) -> None:
    sys.meta_path.insert(0, Blocked(package))
    import keras

    import kerasfx  # noqa: F401 (registers the layers of prepared models)

    model = keras.models.load_model(directory / "prepared.keras")
    with np.load(directory / "inputs.npz") as stored:
        inputs = keras.tree.pack_sequence_as(model.input, list(stored.values()))
    outputs = keras.tree.flatten(model(inputs))
    np.savez(directory / "outputs.npz", *(keras.ops.convert_to_numpy(x) for x in outputs if x is not None))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
