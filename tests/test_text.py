"""The text form of a graph: golden, and equal in every process."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasfx
from kerasfx import passes
from kerasfx.ir import (
    Graph,
    LayerSpec,
    Node,
    SourceLine,
    Value,
)
from kerasfx.ir.dims import Dim
from kerasfx.ir.notebook import to_html
from kerasfx.ir.text import line_of, neighbourhood, to_text

pytestmark = pytest.mark.once

HERE = Path(__file__)


class Mixer(keras.layers.Layer):
    """Own weights, a constant, a free size, a slice."""

    def __init__(self):
        super().__init__()
        self.project = keras.layers.Dense(4)
        self.table = np.arange(100, dtype="float32").reshape(25, 4)

    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), name="scale")
        self.project.build(shape)

    def call(self, x, training=None):
        length = keras.ops.shape(x)[1]
        h = self.project(x) * self.scale + np.float32([1, 0, 1, 0])
        h = keras.ops.reshape(h, (-1, length * 4))
        return h[:, :4, None], self.table


class Net(keras.Model):
    """A shared layer, a nested one, a dict with None."""

    def __init__(self):
        super().__init__(name="net")
        self.m = [Mixer()]
        self.shared = keras.layers.Dropout(0.5, seed=1)

    def call(self, x, training=None):
        h, rows = self.m[0](self.shared(x, training=training), training=training)
        return {"out": self.shared(h, training=True), "rows": rows, "none": None}


def traced() -> Graph:
    """The graph of `Net`."""
    return kerasfx.trace(Net(), keras.Input((None, 4))).graph


def without_lines(graph: Graph) -> str:
    """The text, without the numbers of the lines of this file."""
    return "\n".join(line.partition(", test_text.py:")[0] for line in to_text(graph).splitlines())


GOLDEN = """\
graph net(%x: float32[?, ?, 4]):
  %m_0_scale: float32[4] = parameter m[0].scale
  %constant: float32[25, 4] = constant <100 numbers>
  %shared: float32[?, ?, 4] = Dropout 'shared'(%x)  # shared
  %m_0_project: float32[?, ?, 4] = Dense 'm[0].project'(%shared)  # m[0].project
  %m_0_multiply: float32[?, ?, 4] = keras.ops.multiply(%m_0_project, %m_0_scale)  # m[0]
  %m_0_add: float32[?, ?, 4] = keras.ops.add(%m_0_multiply, array([1.0, 0.0, 1.0, 0.0], float32))  # m[0]
  %m_0_reshape: float32[?, ?] = keras.ops.reshape(%m_0_add, newshape=(-1, (shared.shape[1] * 4)))  # m[0]
  %m_0_get_item: float32[?, ?, 1] = keras.ops.get_item(%m_0_reshape, (:, :4, None))  # m[0]
  %shared_1: float32[?, ?, 1] = Dropout 'shared'(%m_0_get_item, training=True)  # shared
  return {out: %shared_1, rows: %constant, none: None}"""


def test_golden():
    assert without_lines(traced()) == GOLDEN


def test_lines_of_the_user_are_named():
    line = next(line for line in str(traced()).splitlines() if "Dense" in line)
    number = 1 + HERE.read_text().splitlines().index(
        "        h = self.project(x) * self.scale + np.float32([1, 0, 1, 0])"
    )
    assert line.endswith(f"# m[0].project, test_text.py:{number}")


def test_str_is_the_text():
    graph = traced()
    assert str(graph) == to_text(graph)


def test_tracing_again_gives_the_same_text():
    assert str(traced()) == str(traced())


@pytest.mark.parametrize("hash_seed", ["1"])
def test_another_process_gives_the_same_text(hash_seed):
    graph = traced()
    passes.run(graph)
    found = subprocess.run(
        [sys.executable, str(HERE)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert found.stdout == f"{graph}\n"


def node_of(*args, target="keras.ops.f", **kwargs) -> str:
    """The text of a node with these arguments."""
    node = Node("y", target, args, kwargs)
    node.outputs = Value("y", (2, Dim.axis(X, 0, (5, 7))), "int32", node)
    return line_of(node)


X = Graph().add_input("x", (2, 4), "float32")


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        (X, "%x"),
        ([X, (X,), ()], "[%x, (%x,), ()]"),
        ({"a": X, "b": [1]}, "{a: %x, b: [1]}"),
        (slice(None, 3), ":3"),
        (slice(X, None, -1), "%x::-1"),
        ((..., None, slice(None)), "(..., None, :)"),
        (Dim.axis(X, 0, (5, 7)) + 1, "(x.shape[0] + 1)"),
        ("same", "'same'"),
        (np.float32(1.5), "float32(1.5)"),
        (np.array([[1], [2]], "int8"), "array([[1], [2]], int8)"),
        (np.zeros((3, 20)), "array(<60 numbers>, float64)"),
        (object(), "<object>"),
        ("a" * 80, "'" + "a" * 56 + "..."),
    ],
)
def test_arguments(argument, text):
    line = node_of(argument, key=argument)
    assert line == f"%y: int32[2, ?] = keras.ops.f({text}, key={text})  # ."


def test_a_layer_that_a_pass_makes_shows_its_config():
    spec = LayerSpec("keras.layers.Permute", {"dims": (2, 1), "dtype": "float32"})
    assert node_of(X, target=spec) == "%y: int32[2, ?] = Permute(dims=(2, 1))(%x)  # ."


def test_several_results_and_the_source_line():
    node = Node("y", "keras.ops.split", (X, 2), {}, "a.b", SourceLine("/home/u/net.py", 7, "split(x)"))
    node.outputs = [Value(f"y.{i}", (1, 4), "float32", node) for i in range(2)]
    assert line_of(node) == (
        "%y.0: float32[1, 4], %y.1: float32[1, 4] = keras.ops.split(%x, 2)  # a.b, net.py:7"
    )


def test_neighbourhood_marks_the_node():
    graph = traced()
    node = graph.nodes[0]
    lines = neighbourhood(graph, node).splitlines()
    assert [line[:2] for line in lines] == ["->", "  ", "  ", "  "]
    assert lines[0][3:] == line_of(node)


# In a line, and in a notebook


def blocks(count):
    """A graph of two functions for each of `count` layers, whose names need escaping."""
    graph = Graph("net<i>")
    graph.inputs = value = graph.add_input("x", (2,), "float32")
    for i in range(count):
        for step in ("inner", "inner.<b>"):
            node = Node(graph.unique_name("exp"), "keras.ops.exp", (value,), {}, f"blocks[{i}].{step}")
            node.outputs = value = Value(node.name, (2,), "float32", node)
            graph.append(node)
    graph.outputs = (value, value)
    return graph


def test_a_graph_is_told_in_a_line():
    assert repr(blocks(1)) == "<Graph 'net<i>': 2 nodes, 1 input, 2 outputs>"
    assert repr(kerasfx.trace(Net(), keras.Input((None, 4)))) == (
        "<Traced 'net': 7 nodes, 1 input, 2 outputs, 0 findings>"
    )


class Page(HTMLParser):
    """Which texts stand in which parts."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.parts, self.tags = [], [], []
        self.feed(html)
        assert self.tags == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.tags.pop() == tag
        if tag == "details":
            self.parts.pop()

    def handle_data(self, data):
        if self.tags[-1] == "summary":
            self.parts.append(data)
        self.texts.append((data, list(self.parts)))


def test_in_a_notebook_it_is_its_text_folded_by_path():
    graph = traced()
    page = Page(graph._repr_html_())
    lines = [line for text, _ in page.texts for line in text.split("\n")]
    assert [line for line in lines if line in str(graph).split("\n")] == str(graph).split("\n")
    parts = {line: parts[1:] for text, parts in page.texts for line in text.split("\n")}
    inside = next(parts for line, parts in parts.items() if "keras.ops.reshape" in line)
    assert inside == ["m[0]: 5 nodes"]
    assert next(parts for line, parts in parts.items() if "Dropout 'shared'(%x)" in line) == []


def test_names_of_users_are_escaped():
    page = Page(blocks(2)._repr_html_())
    assert next(parts for text, parts in page.texts if "%exp_3" in text) == [
        "graph 'net<i>': 4 nodes, 1 input, 2 outputs",
        *("blocks[1]: 2 nodes", "inner: 2 nodes", "<b>: 1 node"),
    ]


def test_a_large_graph_is_folded_and_no_element_stands_for_a_node():
    html = blocks(2_500)._repr_html_()
    assert " open" not in html
    assert html.count("<pre") < 5_010
    assert len(html) < 1_500_000
    assert " open" in blocks(2)._repr_html_()


def test_what_would_fill_a_notebook_is_left_out_and_told():
    graph = blocks(2)
    assert "and 3 more: print(graph)" in to_html(graph, "", most=1)


if __name__ == "__main__":
    graph = traced()
    passes.run(graph)
    print(graph)
