"""Real models of others, built tiny with random weights: does `prepare_model` do them right?

`python -m benchmarks.zoo` prepares and judges each on each backend; nothing is downloaded.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.zoo import keras_io

if TYPE_CHECKING:
    from benchmarks.zoo.example import Example

ENTRIES = {
    "keras_hub": (
        "hub_bert_classifier",
        "hub_deberta_v3",
        "hub_fnet",
        "hub_roformer_v2",
        "hub_t5",
        "hub_bart_seq2seq",
        "hub_gpt2_causal_lm",
        "hub_llama3_causal_lm",
        "hub_gemma_causal_lm",
        "hub_mistral",
        "hub_mixtral_moe",
        "hub_rwkv7",
        "hub_whisper",
        "hub_vit_classifier",
        "hub_swin",
        "hub_dinov2",
        "hub_segformer",
        "hub_efficientnet",
        "hub_retinanet",
        "hub_sam",
        "hub_clip",
        "hub_sd3_mmdit",
        "hub_vae",
        "hub_flux",
        "hub_cached_mha",
    ),
    "keras_rs": (
        "rs_dcn_v2",
        "rs_dlrm",
        "rs_bruteforce_retrieval",
        "rs_embed_reduce",
    ),
    "bayesflow": (
        "bf_coupling_flow_affine",
        "bf_flow_matching",
        "bf_set_transformer",
        "bf_time_series_net",
        "bf_unet",
        "bf_fusion_network",
    ),
    "keras_bio": (
        "bio_esm2",
        "bio_hyena",
        "bio_esm_fold",
    ),
    "keras_climate": (
        "climate_climax",
        "climate_fourier",
        "climate_earthformer",
        "climate_metnet",
        "climate_fusion_transformer",
        "climate_autoformer",
        "climate_nbeats",
    ),
    "keras_sciml": (
        "sciml_fourier_operator",
        "sciml_deep_o_net",
        "sciml_pinn",
    ),
    "k3_node": (
        "k3n_gat",
        "k3n_hypergraph",
        "k3n_light_gcn",
        "k3n_schnet",
    ),
    "keras_geometric": (
        "geometric_attention",
        "geometric_isomorphism",
    ),
    "kgcnn": (
        "kgcnn_schnet",
        "kgcnn_painn",
    ),
    "k3im": (
        "k3im_cait",
        "k3im_video",
        "k3im_external_attention",
        "k3im_swin",
    ),
    "kyolo": ("kyolo_26",),
    "ncps": (
        "ncps_closed_form",
        "ncps_liquid",
    ),
    "keras_lmu": (
        "lmu_recurrent",
        "lmu_by_fft",
    ),
    "mingru_keras": ("mingru_stack",),
    "tcn": ("tcn_sequence",),
    "keras_proba": (
        "proba_gaussian_process",
        "proba_variational",
        "proba_spectral",
        "proba_mixture",
    ),
    "keras_mdn_layer": ("mdn_mixture",),
    "keras_efficient_kan": ("kan_splines",),
    "mononet": ("mononet_dense",),
    "predicateneuron": ("predicate_pairs",),
    "keras_hexagdly": ("hexagdly_network",),
    "kimm": ("kimm_mobile_vit",),
    "medicai": ("medicai_swin",),
    "keras_io": tuple(name for names in keras_io.ENTRIES.values() for name in names),
}
"""The functions of `from_<package>.py`, by package; those of `keras_io` lie in modules of that folder."""

PACKAGE_OF = {name: package for package, names in ENTRIES.items() for name in names}

MODULE_OF = {
    **{name: f"benchmarks.zoo.from_{package}" for name, package in PACKAGE_OF.items()},
    **{
        name: f"benchmarks.zoo.keras_io.{module}"
        for module, names in keras_io.ENTRIES.items()
        for name in names
    },
}
"""The module of each entry."""

VISION = (
    "hub_vit_classifier",
    "hub_swin",
    "hub_dinov2",
    "hub_segformer",
    "hub_efficientnet",
    "hub_retinanet",
    "hub_sam",
    "hub_vae",
    "bf_unet",
)
"""Those that take images and no text."""


def built(entry: str) -> Example:
    """The model of an entry, with its inputs."""
    return getattr(importlib.import_module(MODULE_OF[entry]), entry)()


def blocked_for(entry: str) -> str:
    """The package whose code the file of a prepared model must not need."""
    package = PACKAGE_OF[entry]
    return "benchmarks" if package == "keras_io" else package


@dataclass(frozen=True)
class Only:
    """The backends that an original works on at all, and why it works on no other."""

    backends: tuple[str, ...]
    reason: str


_STRINGS = Only(("tensorflow",), "only TensorFlow has tensors of strings")
_KERAS_LMU = Only(("tensorflow",), "keras-lmu calls functions of TensorFlow")

ONLY: dict[str, Only] = {
    **dict.fromkeys(keras_io.TAKE_STRINGS, _STRINGS),
    "lmu_recurrent": _KERAS_LMU,
    "lmu_by_fft": _KERAS_LMU,
    "kio_mpnn_molecules": Only(("tensorflow",), "written with `tf.dynamic_partition`"),
    "kio_real_nvp": Only(("tensorflow", "jax"), "PyTorch multiplies no trained tensor by an array of NumPy"),
    "kio_switch_transformer": Only(
        ("tensorflow", "jax"), "`one_hot` of PyTorch refuses what is out of range"
    ),
}
"""The originals that do not work on every backend, by the name of the entry."""


def not_applicable(entry: str, backend: str) -> str:
    """Why the original of an entry does not work on a backend; empty when it does."""
    only = ONLY.get(entry)
    return "" if only is None or backend in only.backends else only.reason
