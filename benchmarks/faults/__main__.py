"""Plants a fault in a copy of the package and asks whether the tests notice: the test of the tests.

    KERAS_BACKEND=jax python -m benchmarks.faults                    each fault, and the tests named for it
    KERAS_BACKEND=jax python -m benchmarks.faults --tests -m quick   each fault, and these arguments of pytest
    KERAS_BACKEND=jax python -m benchmarks.faults frozen_weight

`--root` names another checkout.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.faults.planted import FAULTS, Fault


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
            "  do: write down in benchmarks/faults/planted.py which line does it now"
        )
    places[0].write_text(places[0].read_text().replace(fault.line, fault.wrong))
    return places[0]


def failures_with(fault: Fault, root: Path, arguments: tuple[str, ...]) -> tuple[str, list[str]]:
    """Where a fault is in a checkout, and the names of the tests that fail with it.

    Raises:
        NotFoundError: The checkout has no place for it.
        RuntimeError: The tests could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="fault-") as directory:
        source = Path(directory) / "src"
        shutil.copytree(root / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        place = plant(fault, source).relative_to(source / "kerasfx")
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
    return str(place), names


def main() -> int:
    """Plants the faults one after the other; 0 if each is noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="FAULT", help="all of them, unless named")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--tests", nargs=argparse.REMAINDER, help="arguments of pytest for every fault")
    options = parser.parse_args()
    noticed: list[bool] = []
    print("| fault | in | what is wrong | noticed by |\n|---|---|---|---|")
    for fault in FAULTS:
        if options.names and fault.name not in options.names:
            continue
        try:
            place, names = failures_with(fault, options.root.resolve(), tuple(options.tests or fault.tests))
        except NotFoundError as error:
            place, names, told = "", [], str(error)
        else:
            told = f"{len(names)}: {names[0].partition(' ')[2]}" if names else "NOT NOTICED"
        noticed.append(bool(names))
        print(f"| `{fault.name}` | {place} | {fault.what} | {told} |", flush=True)
    print(f"\n{len(noticed)} faults, {sum(noticed)} noticed")
    return 0 if all(noticed) else 1


if __name__ == "__main__":
    sys.exit(main())
