"""Speed of the graph as a library; prints a Markdown table.

python benchmarks/graph.py
"""

import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kerasfx
from kerasfx.ir import Graph
from kerasfx.passes import any_, op, parameter, rewrite


class Variable:
    """All that the graph knows of a Keras variable is its identity."""


class Projections(keras.Model):
    """200 times `tanh(x @ w + b)`."""

    def __init__(self):
        super().__init__(name="projections")
        self.w = [self.add_weight(shape=(8, 8), name=f"w_{i}") for i in range(200)]
        self.b = [self.add_weight(shape=(8,), name=f"b_{i}") for i in range(200)]

    def call(self, x):
        for w, b in zip(self.w, self.b, strict=True):
            x = keras.ops.tanh(keras.ops.matmul(x, w) + b)
        return x


DENSE = op.add(op.matmul(any_("x"), parameter("kernel")), parameter("bias"))


def to_dense(graph: Graph) -> bool:
    """The pass of docs/writing_a_pass.md."""

    def dense(graph, found):
        weights = {"kernel": found["kernel"], "bias": found["bias"]}
        return graph.make("keras.layers.Dense", found["x"], weights=weights, units=8, like=found.root)

    return rewrite(graph, DENSE, dense)


def seconds(run: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def constants() -> None:
    """200 constants of 1 MB, each asked for twice."""
    graph = Graph()
    for i in (*range(200), *range(200)):
        graph.add_constant(np.full(2**18, i, "float32"))


def many_parameters() -> None:
    """5,000 variables, each asked for twice."""
    graph, variables = Graph(), [Variable() for _ in range(5000)]
    for i, variable in enumerate(variables * 2):
        graph.add_parameter(variable, f"w_{i}", (4,), "float32")


def main() -> None:
    """Print the table."""
    traced = kerasfx.trace(Projections(), keras.Input((8,)))
    near_miss = op.add(op.matmul(any_("x"), parameter("kernel")), 1.0)
    rows = (
        ("200 constants of 1 MB, each asked for twice", constants),
        ("5,000 parameters, each asked for twice", many_parameters),
        ("a pattern that nowhere fits, over 600 nodes", lambda: list(near_miss.find(traced.graph))),
        ("200 `matmul + add` replaced by a Dense made by `graph.make`", lambda: to_dense(traced.graph)),
        ("`check()` of the result, 400 nodes", traced.graph.check),
    )
    print("| what | seconds |\n|---|---|")
    for what, run in rows:
        print(f"| {what} | {seconds(run):.2f} |")


if __name__ == "__main__":
    main()
