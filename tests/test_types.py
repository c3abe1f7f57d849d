"""What a type checker tells the users of the package, which is marked as typed (`py.typed`)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import kerasfx

pytestmark = pytest.mark.once

USES = """
def use(model: keras.Model, graph: kerasfx.Graph) -> None:
    prepared: keras.Model = kerasfx.prepare_model(model, (None, 4), leaves=["encoder"], lower="fast")
    report: kerasfx.Report = kerasfx.report(prepared)
    page: str = report.to_html("report.html")
    comparison: kerasfx.Comparison = kerasfx.compare(model, prepared, by_layer=True)
    if not comparison:
        print(page, comparison.to_dict(), [check.verdict for check in comparison.checks])
    copied: kerasfx.CopiedWeights = kerasfx.copy_weights(prepared, model)
    again: keras.Model = kerasfx.emit(kerasfx.trace(model, kerasfx.Inputs((None, 4), flag=True)).graph)
    print(copied, again, [node.path for node in graph.nodes])
"""


WRONG = """
kerasfx.prepare_model(keras.Model(), leafs=[])
kerasfx.prepare_model(keras.Model(), mode="infer")
"""


def test_public_names_have_types_and_wrong_arguments_are_noticed(tmp_path):
    reveals = [f"reveal_type(kerasfx.{name})" for name in kerasfx.__all__]
    (tmp_path / "user.py").write_text("\n".join(["import keras", "import kerasfx", *reveals, USES, WRONG]))
    settings = {
        "include": ["user.py"],
        "extraPaths": [str(Path(kerasfx.__file__).parents[1])],
        "typeCheckingMode": "strict",
        # Keras has types, and no stubs.
        "reportMissingTypeStubs": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "-p",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [x["message"] for x in found if x["severity"] == "error"]
    types = [x["message"] for x in found if x["severity"] == "information"]
    assert len(errors) == len(WRONG.splitlines()) - 1, errors
    assert 'No parameter named "leafs"' in errors[0]
    assert "Literal['infer']" in errors[1]
    assert len(types) == len(kerasfx.__all__)
    assert [message for message in types if "Unknown" in message] == []
