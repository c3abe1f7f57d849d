"""Models written anew at tiny size after examples published on keras.io: the architecture alone.

A module for each field; the docstring of each entry names the example by its path under
https://keras.io/examples/. They are written as the examples are: subclassed models and layers, with losses,
metrics and training steps of their own.
"""

ENTRIES = {
    "generation": (
        "kio_pixelcnn",
        "kio_vq_vae",
        "kio_vae",
    ),
    "adversarial": (
        "kio_dcgan",
        "kio_conditional_gan",
        "kio_wgan_gp",
        "kio_cyclegan",
    ),
    "diffusion": (
        "kio_ddim",
        "kio_ddpm",
    ),
    "transformers_of_images": (
        "kio_vision_transformer",
        "kio_compact_convolutional_transformer",
        "kio_cait",
        "kio_perceiver",
    ),
    "vision": (
        "kio_mlp_mixer",
        "kio_image_fnet",
        "kio_image_gmlp",
        "kio_swin_transformer",
        "kio_involution",
        "kio_attention_mil",
        "kio_token_learner",
    ),
}
"""The functions of each module."""
