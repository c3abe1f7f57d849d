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
    "learning": (
        "kio_masked_autoencoder",
        "kio_supervised_contrastive",
        "kio_barlow_twins",
        "kio_simsiam",
        "kio_siamese_triplets",
        "kio_knowledge_distillation",
        "kio_metric_learning",
        "kio_mixup",
    ),
    "scenes": (
        "kio_nerf",
        "kio_pointnet",
        "kio_pointnet_segmentation",
        "kio_zero_dce",
        "kio_deeplab_v3_plus",
        "kio_retinanet",
        "kio_super_resolution",
    ),
    "detection": ("kio_detection_transformer",),
    "reading": (
        "kio_video_vision_transformer",
        "kio_video_transformer",
        "kio_video_cnn_rnn",
        "kio_captcha_ocr",
        "kio_image_captioning",
        "kio_volumes",
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
    "flows": (
        "kio_real_nvp",
        "kio_mixture_density",
        "kio_wgan_graphs",
    ),
    "text_generation": (
        "kio_miniature_gpt",
        "kio_text_generation_fnet",
        "kio_translation_transformer",
        "kio_lstm_seq2seq",
        "kio_lora_gpt",
    ),
    "text_classification": (
        "kio_text_transformer",
        "kio_switch_transformer",
        "kio_named_entities",
        "kio_span_extraction",
        "kio_bidirectional_lstm",
        "kio_text_end_to_end",
        "kio_multi_label",
    ),
    "encoders": (
        "kio_masked_language_model",
        "kio_siamese_sentences",
        "kio_similarity_bert",
    ),
    "audio": (
        "kio_speech_transformer",
        "kio_deep_speech",
        "kio_speaker_recognition",
        "kio_stft_spectrogram",
        "kio_accent_recognition",
    ),
    "waves": (
        "kio_melgan",
        "kio_vocal_separation",
    ),
    "structured": (
        "kio_wide_deep",
        "kio_deep_cross",
        "kio_lookup_and_normalization",
        "kio_feature_space",
        "kio_grn_vsn",
        "kio_tab_transformer",
        "kio_decision_forest",
    ),
    "recommendation": (
        "kio_collaborative_filtering",
        "kio_behaviour_sequence_transformer",
        "kio_two_towers",
        "kio_sas_rec",
        "kio_dlrm",
    ),
    "graphs": (
        "kio_gnn_citations",
        "kio_gnn_citations_gru",
        "kio_gat_node_classification",
        "kio_mpnn_molecules",
        "kio_mpnn_segments",
    ),
    "time_series": (
        "kio_traffic_forecasting",
        "kio_timeseries_transformer",
        "kio_anomaly_detection",
        "kio_ssvepformer",
        "kio_eeg_classification",
        "kio_weather_lstm",
    ),
    "reinforcement": (
        "kio_actor_critic",
        "kio_proximal_policy",
        "kio_ddpg",
        "kio_deep_q_network",
    ),
    "recipes": (
        "kio_endpoint_layer",
        "kio_antirectifier",
        "kio_bayesian",
        "kio_memory_efficient_embeddings",
        "kio_trainer_pattern",
        "kio_custom_train_step",
    ),
}
"""The functions of each module."""

TAKE_STRINGS = (
    "kio_wide_deep",
    "kio_deep_cross",
    "kio_lookup_and_normalization",
    "kio_feature_space",
    "kio_text_end_to_end",
    "kio_multi_label",
)
"""Those that look words up."""
