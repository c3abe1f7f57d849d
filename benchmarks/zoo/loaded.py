"""Loads prepared models where the package of the original cannot be imported, and runs each once.

python -P loaded.py    reads a line `[DIRECTORY, [PACKAGE, ...]]` for each model, and answers with a line

A directory holds prepared.keras, inputs.npz, and expected.npz. The answer is "yes", or what is wrong.
"""

import json
import sys
from pathlib import Path

import numpy as np


class Blocked:
    """Refuses to import some packages."""

    packages: tuple[str, ...] = ()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self.packages:
            raise ImportError(f"{name} must not be needed to load a prepared model")


def answer(directory: Path) -> str:
    """Whether the model of a directory gives what is expected for its inputs."""
    import keras

    import kerasfx  # noqa: F401 (registers the layers of prepared models)
    from kerasfx.comparing.measure import Tolerance, structure_difference

    model = keras.models.load_model(directory / "prepared.keras")
    with np.load(directory / "inputs.npz", allow_pickle=True) as stored:
        inputs = keras.tree.pack_sequence_as(model.input, list(stored.values()))
    outputs = keras.tree.flatten(model(inputs, training=False))
    received = [keras.ops.convert_to_numpy(x) for x in outputs if x is not None]
    with np.load(directory / "expected.npz", allow_pickle=True) as stored:
        found = structure_difference(list(stored.values()), received, Tolerance())
    return "yes" if found.within else f"loaded: {found.reason}"


def main() -> None:
    blocked = Blocked()
    sys.meta_path.insert(0, blocked)
    # What libraries print must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        directory, packages = json.loads(line)
        blocked.packages = tuple(packages)
        try:
            said = answer(Path(directory))
        except Exception as error:
            said = f"loading: {type(error).__name__}: {error}"
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
