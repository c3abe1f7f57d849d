"""Dicts of reports, as `Report.to_dict()` gives them, of made-up models of any size."""

import random


def transformer(blocks=3, difference="none"):
    """A transformer with parts of each kind.

    Args:
        blocks: How many blocks; a block is 7 rows before and 8 after.
        difference: `none`, `small` or `large`; or `unknown` where nothing was compared.
    """
    before, layers = _model(blocks)
    findings = [
        _finding("opaque", "blocks[0].rotary", "`Rotary` asks for a value", "leaves=['blocks[0].rotary']")
    ]
    findings += [_finding("kept", f"blocks[{b}].rotary", "stays whole, as asked") for b in range(1, blocks)]
    return {
        "kerasfx": "0.1.0",
        "keras": "3.15.1",
        "backend": "jax",
        "model": "net",
        "class": "Net",
        "result": "net_prepared",
        "unchanged": False,
        "seconds": {"total": 1.31, "trace": 0.42, "passes": 0.11, "emit": 0.3, "verify": 0.48},
        "before": before,
        "layers": layers,
        "findings": findings,
        "renamed": {},
        "mode": "both",
        "graph": {},
        "comparison": None if difference == "unknown" else comparison(layers, difference),
    }


def _model(blocks):
    before = [part("", "Net", None, "opened"), part("embed", "Embedding", "", layers=["embed"])]
    layers = [
        layer("tokens", "InputLayer", "", "input"),
        layer("embed", "Embedding", "embed", inputs=["tokens"]),
    ]
    for b in range(blocks):
        path, name = f"blocks[{b}]", f"blocks_{b}"
        before.append(part(path, "Block", "", "opened", [f"{name}_matmul", f"{name}_add"]))
        for end, kind in _PARTS.items():
            became = {"rotary": "kept" if b else "whole", "drop": "unused"}.get(end, "layer")
            made = [] if became == "unused" else [f"{name}_{end}"]
            before.append(part(f"{path}.{end}", kind, path, became, made))
            layers += [layer(n, kind, f"{path}.{end}", became, [layers[-1]["name"]]) for n in made]
        layers.append(layer(f"{name}_matmul", "Matmul", path, "function", [layers[-1]["name"]]))
        layers.append(layer(f"{name}_add", "Add", path, "layer", [f"{name}_matmul", f"{name}_norm"]))
    return before, layers


_PARTS = {
    "norm": "LayerNormalization",
    "attend": "MultiHeadAttention",
    "rotary": "Rotary",
    "up": "Dense",
    "down": "Dense",
    "drop": "Dropout",
}


def part(path, kind, parent, became="layer", layers=()):
    return {
        "path": path,
        "class": kind,
        "module": "keras.layers",
        "parent": parent,
        "became": became,
        "parameters": 1234,
        "source": source(),
        "why": "a built-in layer",
        "layers": list(layers),
    }


def layer(name, kind, path, what="layer", inputs=()):
    return {
        "name": name,
        "class": kind,
        "module": "keras.layers",
        "path": path,
        "kind": what,
        "shape": "(None, 16, 64)",
        "dtype": "float32",
        "parameters": 640,
        "inputs": list(inputs),
        "source": source(),
        "why": f"{kind} of the original",
    }


def source():
    return {"file": "/home/ann/models/net.py", "line": 12, "text": "return self.norm(x + self.attend(x))"}


def _finding(kind, path, what, hint=""):
    return {"kind": kind, "path": path, "what": what, "source": source(), "hint": hint}


def comparison(layers, difference):
    exact, within = difference == "none", difference != "large"
    numbers = random.Random(0)
    found = [layer_difference(x["name"], 10 ** numbers.uniform(-9, -5)) for x in layers]
    found[:2] = [layer_difference(x["name"], 0.0) for x in layers[:2]]
    if not within:
        found[-2:] = [layer_difference(layers[-2]["name"], 0.031), _nan(layers[-1])]
    largest = 0.0 if exact else 0.031 if difference == "large" else 1.2e-6
    verdict = "exact" if exact else "within 1.2e-06" if within else "DIFFERENT"
    checks = [
        check("outputs", within, exact, largest, verdict),
        check("training outputs", True, True, 0.0, "exact"),
    ]
    return {
        "a": "net",
        "b": "net_prepared",
        "equivalent": within,
        "exact": exact,
        "max_abs_difference": largest,
        "first_difference": None if within else "blocks[2]: 3.1e-02",
        "notes": ["variables are paired by the record"],
        "checks": checks,
        "layers": [] if exact else found,
    }


def check(name, passed, exact, largest, verdict):
    return {
        "name": name,
        "passed": passed,
        "exact": exact,
        "max_abs_difference": largest,
        "verdict": verdict,
        "detail": "4 calls",
    }


def layer_difference(name, value, path=None):
    numbers = {"max_abs_difference": value, "relative": value}
    return {"layer": name, "path": path, "exact": value == 0, "within": value < 1e-3, "reason": "", **numbers}


def _nan(entry):
    nothing = {"max_abs_difference": None, "relative": None, "reason": "one is nan where the other is 0.25"}
    return {**layer_difference(entry["name"], 1.0), **nothing}
