"""AIMET's `prepare_model` for the tf.keras of today, under AIMET's name.

To import this module is enough: where AIMET itself is absent, this then works as written for it.

>>> import kerasfx.aimet
>>> from aimet_tensorflow.keras.model_preparer import prepare_model
>>> import keras
>>> class Net(keras.Model):
...     def __init__(self):
...         super().__init__()
...         self.dense = keras.layers.Dense(2)
...     def call(self, x):
...         return self.dense(x) + 1.0
>>> prepare_model(Net(), input_layer=keras.Input((4,))).output_shape
(None, 2)

Or leave the script as it is, and run it by `python -m kerasfx.aimet script.py`. See docs/aimet.md.
"""

from kerasfx.aimet.model_preparer import prepare_model
from kerasfx.aimet.provided import provide

__all__ = ["prepare_model"]

provide()
