"""A network of medicai for volumes."""

from medicai import models

from benchmarks.zoo.example import Example, of_functional


def medicai_swin() -> Example:
    """Windows of a volume, shifted in every other block."""
    model = models.SwinBackbone(
        input_shape=(16, 16, 16, 1),
        embed_dim=6,
        patch_size=2,
        window_size=2,
        depths=[2, 1],
        num_heads=[2, 2],
        drop_path_rate=0.1,
    )
    return of_functional(model)
