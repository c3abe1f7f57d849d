"""The five commands: each takes what was typed, prints its results, and returns an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import keras

from kerasfx.cli import out_files
from kerasfx.cli.example_inputs import arranged, read_inputs
from kerasfx.cli.graphs import graph_data, nodes_in
from kerasfx.cli.model_files import names_in
from kerasfx.cli.models import Subject, model_of, subject_of
from kerasfx.cli.options import values_of
from kerasfx.cli.originals import recognize
from kerasfx.cli.printing import print_json, print_text
from kerasfx.cli.usage import NO, YES, WrongUsage
from kerasfx.cli.weight_files import build
from kerasfx.comparing import Comparison, compare
from kerasfx.inputs import Inputs
from kerasfx.ir.text import line_of
from kerasfx.keras_api import internals
from kerasfx.prepare import explain, prepare_model
from kerasfx.reporting import Report, report
from kerasfx.reporting.screen import screen
from kerasfx.source_code import to_source
from kerasfx.tracing import trace
from kerasfx.viewing import plot, to_model_explorer
from kerasfx.weights import inputs_like

PICTURES = (".png", ".svg", ".pdf", ".dot")


def run_explain(asked: argparse.Namespace, out: TextIO) -> int:
    """What would be opened, kept and warned of; 1 if the model itself cannot be prepared."""
    subject = subject_of(asked)
    found = explain(subject.model, subject.inputs, **values_of(asked), progress=_progress(asked))
    _print(found, asked, out)
    return NO if found.is_refused or (asked.strict and found.opaque) else YES


def run_prepare(asked: argparse.Namespace, out: TextIO) -> int:
    """Make the model, compare it with its original, save it and load it again."""
    path = out_files.require_writable(asked.out, ".keras", asked.force, source=asked.model)
    subject = subject_of(asked, compiled=bool(asked.option_compile))
    prepared = _prepared(subject, asked)
    with out_files.written_whole(path) as beside:
        prepared.save(beside)
        _require_loads(beside, prepared)
    found = report(prepared)
    _print(found, asked, out)
    if not (asked.quiet or asked.json):
        print_text(_saved(path), out)
        if subject.is_new:
            print_text(f"its weights are those that {asked.model} made", out)
    return YES


def _prepared(subject: Subject, asked: argparse.Namespace) -> keras.Model:
    return prepare_model(subject.model, subject.inputs, **values_of(asked), progress=_progress(asked))


def _require_loads(path: Path, prepared: keras.Model) -> None:
    """Load the file that was written, and see that the weights are there.

    Raises:
        WrongUsage: It does not load, as where a layer that was kept whole has no `get_config`.
    """
    classes = {type(layer).__name__: type(layer) for layer in internals.all_layers(prepared)}
    # What the user loaded, or made, and what stayed whole of it: there is no more in it than was there.
    try:
        loaded: Any = keras.saving.load_model(path, custom_objects=classes, compile=False, safe_mode=False)
    # Keras raises what comes.
    except Exception as error:
        raise WrongUsage(
            "The prepared model does not load again, and is not saved.",
            why=f"{type(error).__name__}: {error}",
            hint="give each layer that stays whole a get_config(), or let it be opened",
        ) from error
    ours, theirs = (model.get_weights() for model in (prepared, loaded))
    if len(ours) != len(theirs) or not all(map(_equal, ours, theirs)):
        raise RuntimeError("the prepared model has other weights when it is loaded again, and is not saved")


def _equal(x: Any, y: Any) -> bool:
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


def _saved(path: Path) -> str:
    stayed_whole = ", ".join(map(str, names_in(path)))
    if stayed_whole:
        return f"saved: {path} (loaded again, with what stayed whole: {stayed_whole})"
    return f"saved: {path} (loaded again; `import keras, kerasfx` is all that it needs)"


def run_compare(asked: argparse.Namespace, out: TextIO) -> int:
    """Compare two models; 1 if they differ."""
    a, b = _both(asked)
    chosen: dict[str, Any] = {"modes": (asked.mode,)} if asked.mode else {}
    if isinstance(inputs_like(a.model, b.model), Inputs):
        chosen["call_a"] = _call_by_arguments
    comparison = compare(
        a.model,
        b.model,
        b.inputs,
        gradients=not asked.no_gradients,
        seed=asked.seed,
        tolerance=asked.tolerance,
        by_layer=asked.by_layer,
        progress=_progress(asked),
        **chosen,
    )
    is_same = comparison.equivalent and not comparison.proves_nothing
    _print(comparison, asked, out, is_well=is_same)
    if a.is_new and not comparison:
        hint = f"--weights FILE: {asked.model} was made anew, with weights of its own"
        print(f"  do:    {hint}", file=sys.stderr)
    return YES if is_same else NO


def _both(asked: argparse.Namespace) -> tuple[Subject, Subject]:
    """Both models, built; the inputs of the second are the arrays to compare on, as it takes them."""
    given = read_inputs(asked.inputs)
    b = model_of(asked.other, asked)
    a = subject_of(asked, like=b)
    build(a.model, a.inputs)
    build(b, arranged(given, b))
    recognize(a.model, b, a.inputs)
    arrays = [x for x in given if not isinstance(x.value, keras.KerasTensor)]
    return a, Subject(b, arranged(arrays, b))


def _call_by_arguments(model: keras.Layer, inputs: Any) -> Any:
    return model(**inputs)


def run_report(asked: argparse.Namespace, out: TextIO) -> int:
    """Prepare the model and write a page about it; 1 if the two differ."""
    path = out_files.require_writable(asked.out, ".html", asked.force)
    subject = subject_of(asked, compiled=bool(asked.option_compile))
    prepared = _prepared(subject, asked)
    comparison = None
    if not asked.no_compare:
        comparison = compare(subject.model, prepared, by_layer=True, progress=_progress(asked))
    with out_files.written_whole(path) as beside:
        report(prepared).to_html(beside, comparison=comparison)
    if not asked.quiet:
        found = report(prepared)
        print_text(screen(found.headline, found.findings, []) if comparison is None else str(comparison), out)
        print_text(f"written: {path}", out)
    return YES if comparison is None or comparison else NO


def run_show(asked: argparse.Namespace, out: TextIO) -> int:
    """Print the graph that a model is traced into, or the code of the model that is prepared from it."""
    _require_one_form(asked)
    picture = asked.plot and out_files.require_writable(asked.plot, PICTURES, asked.force)
    collection = asked.model_explorer and out_files.require_writable(
        asked.model_explorer, ".json", asked.force
    )
    subject = subject_of(asked)
    if asked.source:
        print_text(to_source(_prepared(subject, asked)), out)
        return YES
    graph = trace(subject.model, subject.inputs, **values_of(asked)).graph
    if picture:
        return _written(picture, lambda path: plot(graph, path, depth=asked.depth), out)
    if collection:
        return _written(collection, lambda path: to_model_explorer(graph, path), out)
    nodes = graph.nodes if asked.layer is None else nodes_in(graph, asked.layer)
    if asked.json:
        print_json(graph_data(graph, nodes), out)
    else:
        print_text(str(graph) if asked.layer is None else "\n".join(map(line_of, nodes)), out)
    return YES


def _require_one_form(asked: argparse.Namespace) -> None:
    forms = ("source", "plot", "model_explorer", "json", "layer")
    typed = [f"--{form.replace('_', '-')}" for form in forms if getattr(asked, form) not in (None, False)]
    if len(typed) > 1 and typed != ["--json", "--layer"]:
        raise WrongUsage(f"{' and '.join(typed)} exclude each other.", hint="one at a time")
    if asked.depth is not None and not asked.plot:
        raise WrongUsage("--depth is that of a picture.", hint="--plot FILE.svg beside it")


def _written(path: Path, write: Callable[[Path], object], out: TextIO) -> int:
    with out_files.written_whole(path) as beside:
        write(beside)
    print_text(f"written: {path}", out)
    return YES


def _print(found: Report | Comparison, asked: argparse.Namespace, out: TextIO, is_well: bool = True) -> None:
    if asked.json:
        print_json(found.to_dict(), out)
    elif not (asked.quiet and is_well):
        print_text(_text(found, asked), out)


def _text(found: Report | Comparison, asked: argparse.Namespace) -> str:
    if isinstance(found, Comparison) or found.result is None or found.unchanged:
        return str(found)
    # A report says what to do with it in Python.
    page = f"kerasfx report {asked.model} -o report.html, with the same options,"
    more = f"{page} shows each of them beside those of the original"
    return screen(found.headline, found.findings, [more])


def _progress(asked: argparse.Namespace) -> bool | None:
    """No bar where none is wanted; else where it is shown depends on the terminal."""
    return False if asked.quiet else None


COMMANDS: dict[str, Callable[[argparse.Namespace, TextIO], int]] = {
    "explain": run_explain,
    "prepare": run_prepare,
    "compare": run_compare,
    "report": run_report,
    "show": run_show,
}
"""What each command calls."""
