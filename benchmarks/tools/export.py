"""Files of other frameworks: ONNX by ONNX Runtime, LiteRT by its interpreter, also quantized."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from benchmarks.tools.subject import Subject, largest_difference


def onnx(subject: Subject) -> str:
    """`model.export(format="onnx")` from the backend of the day, run by ONNX Runtime."""
    file = onnx_file(subject)
    import onnx as onnx_package

    graph = onnx_package.load(file).graph
    difference = largest_difference(subject.outputs(), by_onnxruntime(subject, file))
    return f"{len(graph.node)} nodes, differs by {difference:.1e}"


def onnx_file(subject: Subject) -> Path:
    """The exported model."""
    subject.outputs()  # Keras asks that it was called
    return _exported(subject, "onnx", "model.onnx")


def by_onnxruntime(subject: Subject, file: Path) -> np.ndarray:
    """What ONNX Runtime gives for the inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [taken] = session.get_inputs()
    return np.asarray(session.run(None, {taken.name: subject.x})[0])


def litert(subject: Subject) -> str:
    """`model.export(format="litert")`, run by its interpreter."""
    difference = largest_difference(subject.outputs(), by_litert(subject, litert_file(subject)))
    return f"differs by {difference:.1e}"


def litert_file(subject: Subject) -> Path:
    """The exported model."""
    return _exported(subject, "litert", "model.tflite")


def _exported(subject: Subject, kind: str, name: str) -> Path:
    file = subject.folder / name
    # Keras takes any input of a subclassed model for float32, if it is not told.
    signature = [keras.InputSpec(dtype=subject.x.dtype.name, shape=(None, *subject.x.shape[1:]))]
    told = {} if subject.is_prepared else {"input_signature": signature}
    subject.model.export(file, format=kind, verbose=False, **told)
    return file


def by_litert(subject: Subject, file: Path) -> np.ndarray:
    """What the interpreter of LiteRT gives for the inputs."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], subject.x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], subject.x)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])
