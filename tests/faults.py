"""Plants a fault in a copy of the package and asks whether the tests notice: the test of the tests.

    KERAS_BACKEND=jax python -m tests.faults                    each fault, and the tests named for it
    KERAS_BACKEND=jax python -m tests.faults --tests -m quick   each fault, and these arguments of pytest
    KERAS_BACKEND=jax python -m tests.faults frozen_weight

A fault is found by its line and not by its file, which may move. `--root` names another checkout.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CASES = "tests/test_prepare_zoo.py"


@dataclass(frozen=True)
class Fault:
    """A change of one line that returns a wrong model, or does harm, in silence.

    Attributes:
        name: What the fault is called.
        what: What is wrong with it.
        line: The part of a line of the package that it changes, which occurs once.
        wrong: What stands there instead.
        tests: Arguments of pytest for the tests that are first to notice.
    """

    name: str
    what: str
    line: str
    wrong: str
    tests: tuple[str, ...]


FAULTS = (
    Fault(
        "frozen_weight",
        "a weight that `call` reads is no longer trained",
        "trainable=self.trainable,",
        "trainable=False,",
        (CASES, "-k", "class_token"),
    ),
    Fault(
        "constant_for_a_weight",
        "a weight that `call` reads becomes a constant of its present value",
        "return self.graph.add_parameter(",
        "return (lambda v, *_: self.graph.add_constant(__import__('numpy').asarray(v.value)))(",
        (CASES, "-k", "class_token"),
    ),
    Fault(
        "lost_mask",
        "a mask that is attached by hand is dropped",
        "        return inputs[1]",
        "        return None",
        (CASES, "-k", "mask_set_as_an_attribute or mask_changed_by_compute_mask"),
    ),
    Fault(
        "lost_loss",
        "a loss that `call` adds is dropped",
        "self.add_loss(loss)",
        "pass",
        (CASES, "-k", "loss_added_by_a_custom_layer or activity_regularizers"),
    ),
    Fault(
        "order_of_draws",
        "two draws of one layer change places",
        "for before, after in pairwise(nodes):",
        "for before, after in pairwise(nodes[:1]):",
        (CASES, "-k", "called_for_a_short"),
    ),
    Fault(
        "training_ignored",
        "`training=True` that the code gives to a layer does not reach it",
        "if self.fixed is not None:",
        "if False:",
        (CASES, "-k", "training_fixed_to"),
    ),
    Fault(
        "statistics_not_updated",
        "what `call` assigns to a variable is thrown away",
        "self.weight.assign(new_value)",
        "pass",
        (CASES, "-k", "moving_average_of_a_custom_layer or state_updated_by_a_custom_layer"),
    ),
    Fault(
        "cast_of_inputs",
        "the layers that stand for operations cast their inputs to float32",
        'super().__init__(dtype="float32", autocast=False, **kwargs)',
        'super().__init__(dtype="float32", **kwargs)',
        (CASES, "-k", "dtype_casts or mixed_float16 or float16_input"),
    ),
    Fault(
        "class_of_the_users_in_a_file",
        "a saved file names a class of the user's where Keras's own would do",
        "            return base",
        "            return cls",
        (CASES, "-k", "builtin_subclass_that_only_presets or dropout_subclasses"),
    ),
    Fault(
        "process_changed",
        "preparing shifts the names that the user's later layers get",
        "with undone(give_back):",
        "with undone(lambda: None):",
        (CASES, "-k", "subclassed_model_that_was_called or subclassed_model_that_was_built"),
    ),
    Fault(
        "size_baked_in",
        "a free size becomes the size of the example",
        "return tuple(None if isinstance(d, Dim) else d for d in value.shape)",
        "return tuple(d.hints[0] if isinstance(d, Dim) else d for d in value.shape)",
        (CASES, "-k", "class_token or subclass_in_functional"),
    ),
    Fault(
        "lost_guard",
        "what Python decided by a size is not checked at run time",
        "_insert_check(graph, anchor, group)",
        "pass",
        ("tests/test_sizes.py",),
    ),
    Fault(
        "unsafe_function",
        "a file may name any function of a namespace of the backend",
        "if space and function_name in space.allowed else None",
        "if space else None",
        ("tests/test_backend_functions.py", "tests/test_security.py"),
    ),
)


class NotFoundError(Exception):
    """The line that a fault changes is not in the package, or not once: the fault is to be written anew."""


def plant(fault: Fault, package: Path) -> Path:
    """Writes a fault into the files below `package`; returns the file.

    Raises:
        NotFoundError: Its line is not there, or in several places.
    """
    found = [(path, path.read_text().count(fault.line)) for path in sorted(package.rglob("*.py"))]
    places = [path for path, count in found for _ in range(count)]
    if len(places) != 1:
        where = ", ".join(str(path.relative_to(package)) for path in places) or "no file"
        raise NotFoundError(
            f"{fault.name}: `{fault.line.strip()}` is in {where}, and has to be in one place.\n"
            f"  do: write down in {Path(__file__).name} which line does it now"
        )
    places[0].write_text(places[0].read_text().replace(fault.line, fault.wrong))
    return places[0]


def failures_with(fault: Fault, root: Path, arguments: tuple[str, ...]) -> list[str]:
    """The names of the tests that fail in a checkout with a fault in it.

    Raises:
        NotFoundError: The checkout has no place for it.
        RuntimeError: The tests could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="fault-") as directory:
        source = Path(directory) / "src"
        shutil.copytree(root / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        plant(fault, source)
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "--tb=no"),
                *("-o", f"pythonpath=. {source} tests", *arguments),
            ],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    # "SUBFAILED[question] tests/x.py::test_case[name] - AssertionError: ..."
    names = re.findall(r"^(?:FAILED|ERROR|SUBFAILED\S*) .*?(?= - |$)", ran.stdout, re.MULTILINE)
    if ran.returncode not in (0, 1) or (ran.returncode and not names):
        raise RuntimeError(f"{fault.name}: pytest ended with {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return names


def main() -> int:
    """Plants the faults one after the other; 0 if each is noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="FAULT", help="all of them, unless named")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--tests", nargs=argparse.REMAINDER, help="arguments of pytest for every fault")
    options = parser.parse_args()
    missed = 0
    for fault in FAULTS:
        if options.names and fault.name not in options.names:
            continue
        try:
            names = failures_with(fault, options.root.resolve(), tuple(options.tests or fault.tests))
        except NotFoundError as error:
            names, told = [], str(error)
        else:
            told = "; ".join(names[:3]) + f" ({len(names)} in all)" if names else "NOT NOTICED"
        missed += not names
        print(f"{fault.name:30} {told}", flush=True)
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
