"""Prepares models and proves each result equal to its original: `make demo`.

By hand, from the root of the repository: `KERAS_BACKEND=jax python -m examples.demo`.
"""

import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import kerasfx
from examples import models

# The folder of the report pages, one for each model.
PAGES = Path("build/demo")

# Each model, and the arguments of prepare_model after it.
DEMOS: tuple[tuple[Callable[[], keras.Model], tuple[Any, ...]], ...] = (
    (models.text_classifier, ()),
    (models.embedded_classifier, (keras.Input((64,)),)),
    (models.bert_classifier, ()),
)

if keras.backend.backend() == "tensorflow":
    from examples import aimet

    DEMOS += (
        (aimet.functional_with_custom_layers, ()),
        (aimet.my_functional_model, (keras.Input(shape=(64,)),)),
    )


def describe(layers: list[keras.layers.Layer]) -> str:
    """The number of layers and of each type: `3 layers: InputLayer, Dense x 2`."""
    counts = Counter(type(layer).__name__ for layer in layers)
    types = ", ".join(f"{name} x {n}" if n > 1 else name for name, n in counts.items())
    return f"{len(layers)} layers: {types}"


def show(label: str, text: str) -> None:
    """Prints a labelled paragraph."""
    margin = " " * 10
    print(textwrap.fill(text, 100, initial_indent=f"  {label:<8}", subsequent_indent=margin))


def demonstrate(model: keras.Model, *inputs: Any) -> bool:
    """Prepares and compares one model; True if they are equivalent."""
    print(f"\n{model.name}, type {type(model).__name__}")
    show("before", describe(model.layers))

    start = time.perf_counter()
    prepared = kerasfx.prepare_model(model, *inputs)
    prepared_at = time.perf_counter()
    comparison = kerasfx.compare(model, prepared, by_layer=True)
    compared_at = time.perf_counter()

    report = kerasfx.report(prepared)
    page = PAGES / f"{model.name}.html"
    report.to_html(page, comparison=comparison)
    opaque = report.opaque
    show("after", describe(prepared.layers))
    show("opaque", "; ".join(map(str, opaque)) if opaque else "0: every custom layer was opened")
    show("time", f"{prepared_at - start:.2f} s, and {compared_at - prepared_at:.2f} s to compare")
    show("page", str(page))
    print(textwrap.indent(str(comparison), "  "))
    return bool(comparison)


def main() -> int:
    """Runs the demos; 0 if every result is equivalent to its original."""
    print(f"keras {keras.__version__} on {keras.backend.backend()}")
    PAGES.mkdir(parents=True, exist_ok=True)
    verdicts = [demonstrate(build(), *inputs) for build, inputs in DEMOS]
    print(f"\n{sum(verdicts)} of {len(verdicts)} prepared models are equivalent to their originals")
    print(f"Open a page in a browser: {', '.join(map(str, sorted(PAGES.glob('*.html'))))}")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
