"""Models of keras-hub; one function each."""

from keras_hub import layers, models
from keras_hub.src.models.stable_diffusion_3.mmdit import MMDiT
from keras_hub.src.models.vae.vae_backbone import VAEBackbone

from benchmarks.zoo.example import (
    BATCH,
    Axis,
    Example,
    Tensor,
    normal,
    of_functional,
    ones,
    positive,
)

TRANSFORMER = {
    "vocabulary_size": 20,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
DECODER = {
    "vocabulary_size": 20,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
SEQ2SEQ = {"encoder": (Axis("encoder_time", 8),), "decoder": (Axis("decoder_time", 8),)}
IMAGE = (32, 32, 3)

# Text


def hub_bert_classifier() -> Example:
    return of_functional(models.BertBackbone(**TRANSFORMER, max_sequence_length=16))


def hub_deberta_v3() -> Example:
    return of_functional(models.DebertaV3Backbone(**TRANSFORMER, max_sequence_length=16, bucket_size=4))


def hub_fnet() -> Example:
    return of_functional(
        models.FNetBackbone(
            vocabulary_size=20, num_layers=2, hidden_dim=16, intermediate_dim=32, max_sequence_length=16
        )
    )


def hub_roformer_v2() -> Example:
    return of_functional(models.RoformerV2Backbone(**TRANSFORMER, max_sequence_length=16, head_size=8))


def hub_t5() -> Example:
    return of_functional(models.T5Backbone(**TRANSFORMER), SEQ2SEQ)


def hub_bart_seq2seq() -> Example:
    backbone = models.BartBackbone(**TRANSFORMER, max_sequence_length=16)
    return of_functional(models.BartSeq2SeqLM(backbone=backbone, preprocessor=None), SEQ2SEQ)


def hub_gpt2_causal_lm() -> Example:
    backbone = models.GPT2Backbone(**TRANSFORMER, max_sequence_length=16)
    return of_functional(models.GPT2CausalLM(backbone=backbone, preprocessor=None))


def hub_llama3_causal_lm() -> Example:
    backbone = models.Llama3Backbone(**DECODER)
    return of_functional(models.Llama3CausalLM(backbone=backbone, preprocessor=None))


def hub_gemma_causal_lm() -> Example:
    backbone = models.GemmaBackbone(
        **DECODER,
        head_dim=8,
        use_sliding_window_attention=True,
        sliding_window_size=4,
        attention_logit_soft_cap=50.0,
        final_logit_soft_cap=30.0,
    )
    return of_functional(models.GemmaCausalLM(backbone=backbone, preprocessor=None))


def hub_mistral() -> Example:
    return of_functional(models.MistralBackbone(**DECODER, sliding_window=4))


def hub_mixtral_moe() -> Example:
    return of_functional(models.MixtralBackbone(**DECODER, num_experts=3))


def hub_rwkv7() -> Example:
    model = models.RWKV7Backbone(
        hidden_size=16,
        head_size=8,
        num_layers=2,
        vocabulary_size=20,
        intermediate_dim=32,
        gate_lora=4,
        mv_lora=4,
        aaa_lora=4,
        decay_lora=4,
    )
    # Its kernel works in chunks of 16 time steps.
    return of_functional(model, {"": (Axis("time", 16, others=(32, 48)),)})


# Speech


def hub_whisper() -> Example:
    model = models.WhisperBackbone(
        **TRANSFORMER, num_mels=4, max_encoder_sequence_length=12, max_decoder_sequence_length=16
    )
    lengths = {"encoder": (Axis("encoder_time", 12),), "decoder": (Axis("decoder_time", 6),)}
    return of_functional(model, lengths, values={"decoder_padding_mask": ones("int32")})


# Images


def hub_vit_classifier() -> Example:
    backbone = models.ViTBackbone(
        image_shape=IMAGE,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        dropout_rate=0.1,
    )
    return of_functional(models.ViTImageClassifier(backbone=backbone, num_classes=3))


def hub_swin() -> Example:
    return of_functional(
        models.SwinTransformerBackbone(
            image_shape=IMAGE, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4
        )
    )


def hub_dinov2() -> Example:
    return of_functional(
        models.DINOV2Backbone(
            patch_size=8,
            num_layers=2,
            hidden_dim=16,
            num_heads=2,
            intermediate_dim=32,
            num_register_tokens=2,
            drop_path_rate=0.1,
            image_shape=IMAGE,
            position_embedding_shape=(48, 48),
        )
    )


def hub_segformer() -> Example:
    encoder = models.MiTBackbone(
        layerwise_depths=[1] * 4,
        num_layers=4,
        layerwise_num_heads=[1, 1, 2, 2],
        layerwise_sr_ratios=[8, 4, 2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        image_shape=(64, 64, 3),
        hidden_dims=[4, 8, 12, 16],
    )
    backbone = models.SegFormerBackbone(image_encoder=encoder, projection_filters=16)
    return of_functional(models.SegFormerImageSegmenter(backbone=backbone, num_classes=3))


def hub_efficientnet() -> Example:
    return of_functional(
        models.EfficientNetBackbone(
            stackwise_kernel_sizes=[3, 3],
            stackwise_num_repeats=[1, 2],
            stackwise_input_filters=[8, 8],
            stackwise_output_filters=[8, 16],
            stackwise_expansion_ratios=[1, 4],
            stackwise_strides=[1, 2],
            stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
            stackwise_block_types=["v1", "fused"],
            stackwise_width_coefficients=[1.0, 1.0],
            stackwise_depth_coefficients=[1.0, 1.0],
            stackwise_force_input_filters=[0, 0],
            stackwise_nores_option=[False, False],
            input_shape=IMAGE,
            num_features=16,
        )
    )


def hub_retinanet() -> Example:
    resnet = models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 16, 16, 16],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(64, 64, 3),
    )
    pyramid = models.RetinaNetBackbone(
        image_encoder=resnet, min_level=3, max_level=6, use_p5=False, image_shape=(64, 64, 3)
    )
    anchors = layers.AnchorGenerator(
        bounding_box_format="yxyx",
        min_level=3,
        max_level=6,
        num_scales=3,
        aspect_ratios=[0.5, 1.0, 2.0],
        anchor_size=4.0,
    )
    return of_functional(
        models.RetinaNetObjectDetector(backbone=pyramid, num_classes=3, anchor_generator=anchors)
    )


def hub_sam() -> Example:
    encoder = models.ViTDetBackbone(
        hidden_size=16,
        num_layers=2,
        intermediate_dim=32,
        num_heads=4,
        global_attention_layer_indices=[1],
        patch_size=16,
        num_output_channels=8,
        window_size=2,
        image_shape=(64, 64, 3),
    )
    prompt_encoder = layers.SAMPromptEncoder(
        hidden_size=8, image_embedding_size=(4, 4), input_image_size=(64, 64), mask_in_channels=4
    )
    mask_decoder = layers.SAMMaskDecoder(
        num_layers=2,
        hidden_size=8,
        intermediate_dim=16,
        num_heads=2,
        embedding_dim=8,
        num_multimask_outputs=3,
        iou_head_depth=3,
        iou_head_hidden_dim=8,
    )
    backbone = models.SAMBackbone(
        image_encoder=encoder, prompt_encoder=prompt_encoder, mask_decoder=mask_decoder
    )
    points = (Axis("points", 1, others=(2, 4)),)
    # It takes one mask alone, four times as large as the image embedding, although these sizes are free.
    masks = (Axis("masks", 1, others=(1,)), Axis("height", 16, others=(16,)), Axis("width", 16, others=(16,)))
    return of_functional(
        models.SAMImageSegmenter(backbone=backbone),
        {
            "points": points,
            "labels": points,
            "boxes": (Axis("boxes", 1, others=(2,)),),
            "masks": masks,
            "images": (),
        },
        values={"points": positive(10.0), "labels": ones(), "boxes": positive(10.0), "masks": normal()},
    )


# Images and text


def hub_clip() -> Example:
    vision = models.CLIPVisionEncoder(
        patch_size=8, hidden_dim=16, num_layers=2, num_heads=2, intermediate_dim=32, image_shape=IMAGE
    )
    text = models.CLIPTextEncoder(
        vocabulary_size=20,
        embedding_dim=16,
        hidden_dim=16,
        num_layers=2,
        num_heads=2,
        intermediate_dim=32,
        max_sequence_length=8,
    )
    return of_functional(models.CLIPBackbone(vision_encoder=vision, text_encoder=text, projection_dim=8))


def hub_sd3_mmdit() -> Example:
    return of_functional(
        MMDiT(
            patch_size=2,
            hidden_dim=16,
            num_layers=2,
            num_heads=2,
            position_size=16,
            latent_shape=(8, 8, 4),
            context_shape=(None, 12),
            pooled_projection_shape=(10,),
            qk_norm="rms_norm",
            dual_attention_indices=(0,),
        )
    )


def hub_vae() -> Example:
    model = VAEBackbone(
        encoder_num_filters=[32, 32],
        encoder_num_blocks=[1, 1],
        decoder_num_filters=[32, 32],
        decoder_num_blocks=[1, 1],
        sample_channels=4,
    )
    return of_functional(model, {"": (Axis("height", 16), Axis("width", 16))})


def hub_flux() -> Example:
    return of_functional(
        models.FluxBackbone(
            input_channels=8,
            hidden_size=32,
            mlp_ratio=2.0,
            num_heads=2,
            depth=1,
            depth_single_blocks=1,
            axes_dim=[4, 6, 6],
            theta=10000,
            use_bias=True,
            guidance_embed=True,
            image_shape=(6, 8),
            text_shape=(6, 8),
            image_ids_shape=(6, 3),
            text_ids_shape=(6, 3),
            y_shape=(8,),
        )
    )


# A layer alone


def hub_cached_mha() -> Example:
    """One step of decoding; the cache holds keys and values of 6 time steps."""
    steps, capacity = Axis("steps", 1, others=(2,)), Axis("capacity", 6)
    return Example(
        layers.CachedMultiHeadAttention(num_heads=2, key_dim=8),
        (Tensor((BATCH, steps, 16), normal()), Tensor((BATCH, steps, 16), normal())),
        {"cache": Tensor((BATCH, 2, capacity, 2, 8), normal()), "cache_update_index": 3},
    )
