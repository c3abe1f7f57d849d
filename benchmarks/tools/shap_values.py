"""SHAP: `GradientExplainer` of the model, and of what an inner layer gives to it."""

from __future__ import annotations

import keras
import numpy as np
import shap

from benchmarks.tools.subject import Subject


def run(subject: Subject) -> str:
    """Whether the attributions of an image add up to the difference of the outputs, as SHAP defines them."""
    model = subject.model
    background = subject.example.batch(24)[4:]
    explainer = shap.GradientExplainer(model, background)
    values = np.asarray(explainer.shap_values(subject.x, nsamples=400, rseed=0))
    expected = subject.outputs() - np.mean(keras.ops.convert_to_numpy(model(background)), axis=0)
    found = values.reshape(len(subject.x), -1, expected.shape[-1]).sum(axis=1)
    return f"adds up to {np.corrcoef(expected.ravel(), found.ravel())[0, 1]:.2f} (correlation)"
