"""Runs a saved model in a process that has never seen the user's classes.

`run_elsewhere` starts a process for one model. The fixture `elsewhere` keeps one process alive for
the session and serves every request from it, since importing the backend takes seconds:

    def test_loads_without_the_users_code(elsewhere, tmp_path):
        prepared.save(tmp_path / "prepared.keras")
        [output] = elsewhere.run(tmp_path / "prepared.keras", {"x": x})

This file is both sides: the test's, and (run as a script) the worker's, which imports Keras,
kerasfx and NumPy only. They exchange JSON lines; arrays travel in `.npz` files, nothing is pickled.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

START_SECONDS = 180
REQUEST_SECONDS = 300


class ElsewhereError(AssertionError):
    """The other process could not load or run the model; the message holds its traceback."""


# --- structures of arrays in a file -------------------------------------------------------------


def save_structure(path: Path, structure: Any) -> None:
    """Writes nested dicts, lists, tuples, None and arrays to an `.npz` file."""
    arrays: dict[str, np.ndarray] = {}

    def encode(part: Any) -> Any:
        if part is None:
            return None
        if isinstance(part, dict):
            return {"dict": [[key, encode(value)] for key, value in part.items()]}
        if isinstance(part, list | tuple):
            kind = "list" if isinstance(part, list) else "tuple"
            return {kind: [encode(value) for value in part]}
        array = np.asarray(part)
        name = f"array{len(arrays)}"
        # NumPy cannot store bfloat16 and its like: their bytes travel, with the name of the type.
        arrays[name] = array if array.dtype.kind in "biufcSU" else array.view(f"u{array.itemsize}")
        return {"array": name, "dtype": array.dtype.name}

    skeleton = json.dumps(encode(structure))
    np.savez(path, skeleton=np.asarray(skeleton), **arrays)


def load_structure(path: Path) -> Any:
    """Reads what `save_structure` wrote."""
    with np.load(path, allow_pickle=False) as stored:

        def decode(part: Any) -> Any:
            match part:
                case None:
                    return None
                case {"dict": items}:
                    return {key: decode(value) for key, value in items}
                case {"list": items}:
                    return [decode(value) for value in items]
                case {"tuple": items}:
                    return tuple(decode(value) for value in items)
                case {"array": name, "dtype": dtype}:
                    array = stored[name]
                    return array if array.dtype.name == dtype else array.view(dtype_named(dtype))
            raise ValueError(f"not a stored structure: {part!r}")

        return decode(json.loads(str(stored["skeleton"])))


def dtype_named(name: str) -> np.dtype:
    """NumPy's dtype of that name, also bfloat16 and the float8 types."""
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name, name))


# --- the test's side ----------------------------------------------------------------------------


class Elsewhere:
    """A worker process that loads and runs saved models.

    Args:
        backend: The backend of the worker; that of this process by default.
    """

    def __init__(self, backend: str | None = None):
        self.backend = backend or os.environ["KERAS_BACKEND"]
        self.modules: frozenset[str] = frozenset()
        self._resources = contextlib.ExitStack()
        self._requests = 0
        self._start()

    def _start(self) -> None:
        enter = self._resources.enter_context
        self._directory = Path(enter(tempfile.TemporaryDirectory(prefix="elsewhere-")))
        self._errors = enter((self._directory / "stderr").open("w+"))
        # -P and an empty working directory: neither the tests nor the examples can be imported.
        self._process = enter(
            subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=self._directory,
                env={**os.environ, "KERAS_BACKEND": self.backend, "PYTHONPATH": _path_to_kerasfx()},
                text=True,
            )
        )
        self.modules = frozenset(self._receive(START_SECONDS)["modules"])

    def run(self, keras_file: Path | str, inputs: Any) -> list[np.ndarray]:
        """Loads the model (safe mode) and returns its flat outputs for `inputs`, in inference.

        Args:
            keras_file: A `.keras` file.
            inputs: The first argument of the model: arrays in any nesting of dicts, lists, tuples.

        Raises:
            ElsewhereError: The worker could not load or run the model.
        """
        if self._process.poll() is not None:  # it died in an earlier request
            self._start()
        self._requests += 1
        inputs_npz = self._directory / f"inputs{self._requests}.npz"
        outputs_npz = self._directory / f"outputs{self._requests}.npz"
        save_structure(inputs_npz, inputs)
        self._send(
            keras_file=str(Path(keras_file).resolve()),
            inputs_npz=str(inputs_npz),
            outputs_npz=str(outputs_npz),
        )
        answer = self._receive(REQUEST_SECONDS)
        inputs_npz.unlink()
        if "error" in answer:
            raise ElsewhereError(
                f"{keras_file} fails in a process that imports only keras and kerasfx "
                f"({self.backend}):\n{answer['error']}"
            )
        outputs = load_structure(outputs_npz)
        outputs_npz.unlink()
        return outputs

    def close(self) -> None:
        """Ends the worker."""
        self._resources.close()

    def __enter__(self) -> "Elsewhere":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _send(self, **request: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # told by the answer that does not come
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _receive(self, seconds: float) -> dict[str, Any]:
        watchdog = threading.Timer(seconds, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._errors.seek(0)
        last_words = self._errors.read()[-4000:]
        self.close()
        raise ElsewhereError(f"The worker died with exit code {code}. Its last words:\n{last_words}")


def run_elsewhere(keras_file: Path | str, inputs: Any, backend: str | None = None) -> list[np.ndarray]:
    """Like `Elsewhere.run`, in a process of its own."""
    with Elsewhere(backend) as worker:
        return worker.run(keras_file, inputs)


def _path_to_kerasfx() -> str:
    """The directory to import kerasfx from, the same as in this process, and nothing else."""
    import kerasfx

    return str(Path(kerasfx.__file__).resolve().parents[1])


# --- the worker's side --------------------------------------------------------------------------


def serve() -> None:
    """Answers requests until stdin closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not end up between the answers

    import keras

    import kerasfx  # noqa: F401 (registers the layers that the models are made of)

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    answer(modules=sorted(sys.modules))
    for line in sys.stdin:
        keras.utils.clear_session(free_memory=False)
        try:
            serve_one(**json.loads(line))
        except Exception:
            import traceback

            answer(error=traceback.format_exc())
        else:
            answer()


def serve_one(keras_file: str, inputs_npz: str, outputs_npz: str) -> None:
    """Loads a model, runs it on the stored inputs, stores its flat outputs."""
    import keras

    from kerasfx.keras_api.running import plain_tensorflow

    model = keras.models.load_model(keras_file)
    inputs = keras.tree.map_structure(
        lambda array: keras.ops.convert_to_tensor(array, dtype=array.dtype.name),
        load_structure(Path(inputs_npz)),
    )
    keras.utils.set_random_seed(0)  # where dropout draws from the process, as `predicting` lets it
    with plain_tensorflow():
        outputs = keras.tree.flatten(model(inputs, training=False))
    save_structure(
        Path(outputs_npz),
        [keras.ops.convert_to_numpy(output) for output in outputs if output is not None],
    )


if __name__ == "__main__":
    serve()
else:
    # The worker must not import pytest.
    import pytest

    @pytest.fixture(scope="session")
    def elsewhere():
        """One worker, on the backend of this process, for the whole session."""
        with Elsewhere() as worker:
            yield worker
