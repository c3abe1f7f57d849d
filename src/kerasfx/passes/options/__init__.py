"""What `prepare_model` does only if it is asked to, for tools that ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerasfx.ir import Graph
from kerasfx.passes.notes import Watch
from kerasfx.passes.options.lower_gelu import lower_gelu
from kerasfx.passes.options.replace_relu6 import replace_relu6
from kerasfx.passes.options.split_separable import split_separable
from kerasfx.passes.options.unshare import unshare
from kerasfx.passes.options.use_original_names import use_original_names
from kerasfx.reporting import Finding

NAMES = ("path", "original")
GELU = (None, "erf")


@dataclass(frozen=True)
class Options:
    """The options of `prepare_model` of the same names."""

    unshare: bool = False
    names: str = "path"
    replace_separable_conv: bool = False
    replace_relu6: bool = False
    lower_gelu: str | None = None

    @property
    def are_any(self) -> bool:
        """Whether anything is asked for."""
        return self != Options()

    @property
    def change_numbers(self) -> bool:
        """Whether the result may differ from what the graph was before: then that is what is compared."""
        return self.replace_relu6 or self.lower_gelu is not None

    def name(self, graph: Graph) -> None:
        """Name the nodes, before anybody reads the names."""
        if self.names == "original":
            use_original_names(graph)

    def rearrange(self, graph: Graph) -> Sequence[Finding]:
        """Do what changes no number; returns what the report says of it."""
        watch = Watch(graph)
        findings = split_separable(graph) if self.replace_separable_conv else []
        watch.note("replace_separable_conv", is_ours=True)
        return [*findings, *(unshare(graph) if self.unshare else [])]

    def replace(self, graph: Graph) -> Sequence[Finding]:
        """Do what changes numbers; returns what the report says of it."""
        watch = Watch(graph)
        findings = replace_relu6(graph) if self.replace_relu6 else []
        watch.note("replace_relu6", is_ours=True)
        watch = Watch(graph)
        findings = [*findings, *(lower_gelu(graph) if self.lower_gelu else [])]
        watch.note("lower_gelu", is_ours=True)
        return findings
