"""Image and video transformers of k3im; one function each."""

from k3im import cait, eanet, swint, vivit

from benchmarks.zoo.example import Example, of_functional


def k3im_cait() -> Example:
    model = cait.CaiTModel(
        image_size=16,
        patch_size=8,
        num_classes=3,
        dim=8,
        depth=2,
        heads=2,
        mlp_dim=16,
        cls_depth=1,
        dim_head=4,
    )
    return of_functional(model)


def k3im_video() -> Example:
    """Attends in space, then in time."""
    model = vivit.ViViT(
        image_size=16,
        image_patch_size=8,
        frames=4,
        frame_patch_size=2,
        num_classes=3,
        dim=8,
        spatial_depth=1,
        temporal_depth=1,
        heads=2,
        mlp_dim=16,
        dim_head=4,
    )
    return of_functional(model)


def k3im_external_attention() -> Example:
    model = eanet.EANet(
        input_shape=(16, 16, 3),
        patch_size=4,
        embedding_dim=8,
        num_transformer_blocks=2,
        mlp_dim=8,
        num_heads=2,
        dim_coefficient=2,
        attention_dropout=0.1,
        projection_dropout=0.1,
        num_classes=3,
    )
    return of_functional(model)


def k3im_swin() -> Example:
    model = swint.SwinTModel(
        img_size=(16, 16),
        patch_size=(2, 2),
        embed_dim=8,
        num_heads=2,
        window_size=2,
        num_mlp=16,
        qkv_bias=True,
        dropout_rate=0.1,
        shift_size=1,
        num_classes=3,
    )
    return of_functional(model)
