"""Loads a model where nothing but Keras and kerasfx can be imported, and runs it once.

python -P loaded.py DIRECTORY    reads model.keras and x.npy, writes outputs.npy
"""

import sys
from pathlib import Path

import keras
import numpy as np

import kerasfx  # noqa: F401 (registers the layers of prepared models)

directory = Path(sys.argv[1])
model = keras.models.load_model(directory / "model.keras")
np.save(directory / "outputs.npy", keras.ops.convert_to_numpy(model(np.load(directory / "x.npy"))))
