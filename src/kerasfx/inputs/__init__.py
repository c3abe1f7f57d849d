"""What the user hands over: the model, what it is called with in any of its forms, and options."""

from kerasfx.inputs.calls import call_spec
from kerasfx.inputs.choices import require_one_of
from kerasfx.inputs.fitting import nearest, with_batch
from kerasfx.inputs.public import public
from kerasfx.inputs.specs import CallSpec, Inputs, InputSpec
from kerasfx.inputs.subject import no_model, require_model

__all__ = [
    "CallSpec",
    "InputSpec",
    "Inputs",
    "call_spec",
    "nearest",
    "no_model",
    "public",
    "require_model",
    "require_one_of",
    "with_batch",
]
