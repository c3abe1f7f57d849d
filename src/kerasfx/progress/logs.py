"""The loggers: one for each phase of the work, all below `"kerasfx"`.

| logger | INFO | DEBUG |
|---|---|---|
| `kerasfx.prepare` | each phase of `prepare_model` with its seconds | |
| `kerasfx.trace` | the graph that came of it | layers opened and kept whole, with the reason |
| `kerasfx.passes` | each pass that changed the graph | lowering rules applied, with the node and the line |
| `kerasfx.emit` | the model that is made | |
| `kerasfx.verify` | the verdict of a comparison | each check |

Arguments are handed over apart (`log.debug("%s", node)`), so that nobody writes what nobody reads.
"""

from __future__ import annotations

import logging

from kerasfx.progress import make_way


class _MakeWay(logging.NullHandler):
    """Takes the bar from its line before the handlers further up write there; writes nothing itself."""

    def handle(self, record: logging.LogRecord) -> bool:
        make_way()
        return super().handle(record)


logging.getLogger("kerasfx").addHandler(_MakeWay())

prepare = logging.getLogger("kerasfx.prepare")
trace = logging.getLogger("kerasfx.trace")
passes = logging.getLogger("kerasfx.passes")
emit = logging.getLogger("kerasfx.emit")
verify = logging.getLogger("kerasfx.verify")
