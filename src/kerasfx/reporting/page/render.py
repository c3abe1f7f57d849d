"""From the dict of a report to the text of the page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from kerasfx.reporting.page.view import view_of


def render(record: Mapping[str, Any]) -> str:
    """The page of a report.

    Args:
        record: What `Report.to_dict()` gives.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    template = _environment().get_template("page.html.j2")
    style, script = _part("page.css"), _part("page.js")
    page = template.render(
        view=view_of(record), style=style, script=script, style_hash=_hash(style), script_hash=_hash(script)
    )
    # A path that the file system could not decode holds half characters, which no file of UTF-8 can.
    return page.encode("utf-8", "replace").decode("utf-8")


def _environment():
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(
            "The page of a report is made by Jinja2, which is not installed.\n"
            '  do:    pip install "kerasfx[report]" (or pip install jinja2)'
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kerasfx.reporting", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `NaN` is no JSON: an error here rather than a page that does nothing.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _part(name: str) -> str:
    return (resources.files("kerasfx.reporting.page") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a content security policy names the one text that may act."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
