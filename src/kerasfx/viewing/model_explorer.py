"""What Model Explorer shows: https://github.com/google-ai-edge/model-explorer.

The format is that of its data classes (`graph_builder.py`, `node_data_builder.py`), tried with version 0.1.34
of `ai-edge-model-explorer`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras

from kerasfx.comparing import Comparison
from kerasfx.comparing.result import LayerDifference
from kerasfx.errors import describe
from kerasfx.ir import Graph
from kerasfx.viewing.boxes import Box, Edge, Group, Picture, picture_of

Data = dict[str, Any]

DIFFERENCES = "difference"
"""What stands in the name of the file of differences, and above them in the browser."""

EXACT, WITHIN, DIFFERENT = "#ceead6", "#feefc3", "#f28b82"
"""The colours of layers that are equal bit for bit, within tolerance, and not."""

KEPT = {"kept": "#f9cb9c", "whole": "#f4a6a0", "weight": "#fff2cc", "input": "#d9ead3"}
"""The colours of what is no usual layer."""


def to_model_explorer(
    graph_or_model: Graph | keras.Model,
    path: str | Path | None = None,
    *,
    comparison: Comparison | None = None,
) -> Data:
    """Say a model as Model Explorer reads it, in which one looks at large graphs.

    The layers of the original are the groups that open and close. Each node has the class, shapes, dtype,
    weights, and where they are known the user's line and why it is there.

        kerasfx.to_model_explorer(prepared, "net.json")
        $ pip install ai-edge-model-explorer
        $ model-explorer net.json

    Args:
        graph_or_model: A model of `prepare_model`, any other Functional or Sequential model, or the graph of
            `kerasfx.trace`.
        path: Where to write it; None writes no file.
        comparison: What `kerasfx.compare(original, model, by_layer=True)` gave: how far each layer is from
            its partner, as colours. It goes into a second file beside the first, `net.difference.json`, for
            `model-explorer net.json --node_data_paths net.difference.json`.

    Returns:
        The collection of graphs (`"label"`, `"graphs"`) as it is in the file; with a comparison `"node_data"`
        as well, which is what the second file holds.

    Raises:
        UnsupportedModelError: A model that is not Functional, or was not built.
        ValueError: The comparison knows nothing of layers.
    """
    picture = picture_of(graph_or_model)
    apart = (
        {x.layer: f"{x.verdict} {x.reason}".strip() for x in comparison.layers}
        if comparison is not None
        else {}
    )
    collection: Data = {"label": "kerasfx", "graphs": [_graph(picture, apart)]}
    node_data = None if comparison is None else _differences(picture, comparison)
    if path is not None:
        _write(Path(path), collection)
        if node_data is not None:
            _write(Path(path).with_suffix(f".{DIFFERENCES}.json"), node_data)
    return collection if node_data is None else {**collection, "node_data": node_data}


def _write(path: Path, data: Data) -> None:
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def _graph(picture: Picture, apart: dict[str, str]) -> Data:
    given = {key for key, _ in picture.results}
    return {
        "id": picture.name,
        "nodes": [_node(box, box.key in given, apart.get(box.name, "")) for box in picture.boxes],
        "groupNodeAttributes": {
            "": {"model": picture.name},
            **{_namespace(group): {"class": name} for group, name in picture.classes.items()},
        },
    }


def _namespace(group: Group) -> str:
    # A slash parts groups.
    return "/".join(name.replace("/", "_") for name in group)


def _node(box: Box, is_result: bool, difference: str) -> Data:
    facts = {
        "name": box.name,
        "kind": box.kind,
        "path": box.path,
        "dtype": box.dtype,
        "parameters": str(box.parameters) if box.parameters else "",
        "source": box.source,
        "why": box.why,
        "difference": difference,
        "result of the model": "yes" if is_result else "",
    }
    node: Data = {
        "id": box.key,
        "label": box.class_name,
        "namespace": _namespace(box.group),
        "attrs": _attributes(facts),
        "incomingEdges": [_edge(edge, i) for i, edge in enumerate(box.edges)],
        "outputsMetadata": [
            {"id": str(i), "attrs": _attributes({"shape": f"{dtype} {shape}"})}
            for i, (shape, dtype) in enumerate(zip(box.shapes, box.dtypes, strict=True))
        ],
    }
    if box.kind in KEPT:
        node["style"] = {"backgroundColor": KEPT[box.kind]}
    return node


def _attributes(facts: dict[str, str]) -> list[Data]:
    return [{"key": key, "value": value} for key, value in facts.items() if value]


def _edge(edge: Edge, place: int) -> Data:
    return {
        "sourceNodeId": edge.source,
        "sourceNodeOutputId": str(edge.output),
        "targetNodeInputId": str(place),
    }


def _differences(picture: Picture, comparison: Comparison) -> Data:
    """The differences of a comparison by node, as Model Explorer reads them."""
    if not comparison.layers:
        raise ValueError(
            describe(
                f"The comparison of '{comparison.a}' and '{comparison.b}' knows nothing of layers.",
                hint="kerasfx.compare(original, model, by_layer=True)",
            )
        )
    known = {layer.layer: layer for layer in comparison.layers}
    results = {box.key: _result(known[box.name]) for box in picture.boxes if box.name in known}
    return {
        picture.name: {
            "name": DIFFERENCES,
            "results": results,
        }
    }


def _result(layer: LayerDifference) -> Data:
    difference = layer.max_abs_difference
    # JSON has no number for what is not finite, and 0 would say that they are equal.
    value = difference if math.isfinite(difference) else "not comparable"
    return {"value": value, "bgColor": EXACT if layer.exact else WITHIN if layer.within else DIFFERENT}
