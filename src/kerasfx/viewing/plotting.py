"""A picture of a model by Graphviz, with the layers of the original as boxes around their layers."""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras

from kerasfx.errors import describe
from kerasfx.ir import Graph, identifier
from kerasfx.viewing.boxes import Box, Group, Picture, folded, picture_of

LIMIT = 1_000
"""More boxes than these nobody reads in a picture."""

SECONDS = 60
"""How long `dot` may take."""

FORMATS = ("png", "svg", "pdf", "dot")

DIRECTIONS = ("TB", "LR", "BT", "RL")

COLOURS = {
    "input": "#d9ead3",
    "layer": "#dbe8fb",
    "function": "#ffffff",
    "weight": "#fff2cc",
    "kept": "#f9cb9c",
    "whole": "#f4a6a0",
    "group": "#e4dcf1",
}
"""The colour of a box, by its kind."""

SAID = {"kept": "kept whole on request", "whole": "kept whole"}


def plot(
    graph_or_model: Graph | keras.Model,
    to_file: str | Path = "model.png",
    *,
    show_shapes: bool = True,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    depth: int | None = None,
    rankdir: str = "TB",
    dpi: int = 100,
) -> Any:
    """Draw a model: a box for each call, inside of boxes that are the layers of the original.

    Standard layers are blue, functions white, inputs green, weights yellow, and what was kept whole is red
    (orange if you asked for it). A layer that is called twice has two boxes. Of a model that was loaded, the
    original layers are not known.

    Args:
        graph_or_model: A model of `prepare_model`, any other Functional or Sequential model, or the graph of
            `kerasfx.trace`.
        to_file: Where the picture goes; the ending says the format: .png, .svg, .pdf or .dot.
        show_shapes: Whether to write the shape of what each call gives.
        show_dtype: Whether to write its dtype.
        show_layer_names: Whether to write the names of the layers, and not their classes alone.
        depth: How many layers of the original inside of each other are shown; what is deeper is one box.
            With 1 each layer of the model itself is one box.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        dpi: Dots per inch of a .png.

    Returns:
        In a notebook the picture, so that it is shown; else None.

    Raises:
        UnsupportedModelError: A model that is not Functional, or was not built.
        ImportError: pydot is not installed.
        FileNotFoundError: The program `dot` of Graphviz is not installed.
        ValueError: The ending of the file, `depth`, `rankdir` or `dpi`; or there are too many boxes, and the
            message says how to show them.
    """
    path = Path(to_file)
    form = path.suffix.removeprefix(".").lower()
    _require(form, depth)
    _require_layout(rankdir, dpi)
    whole = picture_of(graph_or_model)
    picture = folded(whole, depth)
    if form != "dot":
        _require_few(picture, whole, depth)
        _require_dot()
    shown = [
        name for name, on in (("shape", show_shapes), ("dtype", show_dtype), ("name", show_layer_names)) if on
    ]
    drawing = _drawing(picture, shown, rankdir, dpi)
    if form == "dot":
        path.write_text(drawing.to_string(), encoding="utf-8")
        return None
    path.write_bytes(_laid_out(drawing.to_string(), form, whole, depth))
    return _for_notebooks(path, form)


def _laid_out(text: str, form: str, whole: Picture, depth: int | None) -> bytes:
    """What `dot` makes of a graph.

    Raises:
        ValueError: It takes too long.
    """
    # Not by pydot, which waits for as long as it takes: long arrows past many boxes may be hours.
    try:
        done = subprocess.run(
            ["dot", f"-T{form}"], input=text.encode(), capture_output=True, check=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise _too_large(whole, depth, f"Graphviz was not done after {SECONDS} seconds") from None
    return done.stdout


def _require(form: str, depth: int | None) -> None:
    if form not in FORMATS:
        endings = ", ".join(f".{x}" for x in FORMATS)
        raise ValueError(
            describe(
                f"A picture has no format '{form}'.", hint=f"let the name of the file end in one of {endings}"
            )
        )
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise ValueError(
            describe(f"depth={depth!r} shows nothing.", hint="depth=1 shows the layers of the model")
        )


def _require_layout(rankdir: str, dpi: int) -> None:
    # Graphviz takes any word for "TB", and does not come back from a dpi below 0.
    if rankdir not in DIRECTIONS:
        raise ValueError(f"rankdir={rankdir!r} is none of {', '.join(map(repr, DIRECTIONS))}.")
    if not isinstance(dpi, (int, float)) or dpi <= 0:
        raise ValueError(f"dpi={dpi!r} is no number of dots per inch.")


def _require_few(picture: Picture, whole: Picture, depth: int | None) -> None:
    if len(picture.boxes) > LIMIT:
        why = f"Graphviz takes minutes for more than {LIMIT} boxes, and nobody can read them"
        raise _too_large(whole, depth, why)


def _too_large(whole: Picture, depth: int | None, why: str) -> ValueError:
    count = len(folded(whole, depth).boxes)
    deepest = max(len(box.group) for box in whole.boxes)
    fewer = {d: len(folded(whole, d).boxes) for d in range(1, depth or deepest + 1)}
    few = [f"depth={d}, which makes {n} of them" for d, n in fewer.items() if n <= min(LIMIT, count - 1)]
    explorer = 'kerasfx.to_model_explorer(model, "net.json"), which is for large models'
    return ValueError(
        describe(
            f"'{whole.name}' has {count} boxes, too many for a picture.",
            why=why,
            hint="; or ".join([*few[-1:], explorer]),
        )
    )


def _require_dot() -> None:
    if shutil.which("dot") is None:
        raise FileNotFoundError(
            describe(
                "The program `dot` is not there, which lays pictures out.",
                hint="apt install graphviz (or brew install graphviz, conda install graphviz); "
                'or a name that ends in ".dot"',
            )
        )


def _pydot() -> Any:
    try:
        import pydot
    except ImportError as error:
        raise ImportError(
            describe(
                "Pictures are made with pydot, which is not installed.", hint='pip install "kerasfx[plot]"'
            )
        ) from error
    return pydot


def _drawing(picture: Picture, shown: list[str], rankdir: str, dpi: int) -> Any:
    pydot = _pydot()
    drawing = pydot.Dot(
        _quoted(picture.name), graph_type="digraph", rankdir=rankdir, dpi=dpi, compound="true"
    )
    drawing.set_node_defaults(shape="box", style='"rounded,filled"', fontname="Helvetica", fontsize="10")
    drawing.set_edge_defaults(arrowsize="0.6", color='"#666666"')
    drawing.set_graph_defaults(fontname="Helvetica", fontsize="11")
    clusters: dict[Group, Any] = {(): drawing}
    numbers = {box.key: f"n{i}" for i, box in enumerate(picture.boxes)}
    for box in picture.boxes:
        node = pydot.Node(numbers[box.key], label=_label(box, shown), fillcolor=f'"{COLOURS[box.kind]}"')
        _cluster(box.group, clusters, picture, pydot).add_node(node)
        for edge in box.edges:
            drawing.add_edge(pydot.Edge(numbers[edge.source], numbers[box.key]))
    return drawing


def _cluster(group: Group, clusters: dict[Group, Any], picture: Picture, pydot: Any) -> Any:
    """The box around a group, inside of those around it."""
    if group not in clusters:
        around = _cluster(group[:-1], clusters, picture, pydot)
        kind = picture.classes.get(group)
        label = f"{group[-1]}  ({kind})" if kind else group[-1]
        cluster = pydot.Cluster(
            f"c{len(clusters)}",
            label=_quoted(label),
            style='"rounded,filled"',
            color='"#9aa0a6"',
            fillcolor='"#00000009"',
            labeljust="l",
        )
        around.add_subgraph(cluster)
        clusters[group] = cluster
    return clusters[group]


def _label(box: Box, shown: list[str]) -> str:
    lines = [f"<b>{html.escape(box.class_name)}</b>"]
    if "name" in shown and box.name != box.class_name:
        lines.append(html.escape(_short(box)))
    if box.kind in SAID:
        lines.append(f"<i>{SAID[box.kind]}</i>")
    facts = [text for name, text in (("shape", box.shape), ("dtype", box.dtype)) if name in shown and text]
    if facts:
        lines.append(f'<font color="#555555">{html.escape(" ".join(facts))}</font>')
    return f"<{'<br/>'.join(lines)}>"


def _short(box: Box) -> str:
    """The name of a layer without what the boxes around it say."""
    around = identifier(".".join(box.group))
    return box.name.removeprefix(f"{around}_") if box.group and box.kind != "group" else box.name


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _for_notebooks(path: Path, form: str) -> Any:
    """The picture as a notebook shows it; None outside of one."""
    # Where it is not imported there is no notebook, and importing it takes long.
    display = sys.modules.get("IPython.display")
    if display is None or form == "pdf":
        return None
    return display.SVG(filename=str(path)) if form == "svg" else display.Image(filename=str(path))
