"""Forecasters of time series and of the weather from keras-climate; one function each."""

from keras_climate import forecasting, weather

from benchmarks.zoo.example import Example, integers, of_functional


def climate_climax() -> Example:
    model = weather.ClimaX(
        img_size=(8, 16), patch_size=4, num_vars=3, embed_dim=8, depth=1, decoder_depth=1, num_heads=2
    )
    return of_functional(model)


def climate_fourier() -> Example:
    """Mixes in the frequency domain, with complex weights of blocks."""
    model = weather.FourCastNet(
        img_size=(16, 32), patch_size=4, in_chans=3, out_chans=3, embed_dim=8, depth=1, num_blocks=2
    )
    return of_functional(model)


def climate_earthformer() -> Example:
    """Attends within cuboids of space and time."""
    model = weather.Earthformer(
        input_shape=(4, 16, 16, 1),
        pred_steps=4,
        base_dim=8,
        stage_depths=(1, 1),
        num_heads=2,
        cuboid_size=(2, 4, 4),
    )
    return of_functional(model)


def climate_metnet() -> Example:
    """Convolutions that remember, then attention along each axis, conditioned on the lead time."""
    model = weather.MetNet(
        input_shape=(2, 16, 16, 1),
        lead_times=2,
        base_filters=4,
        attn_dim=8,
        attn_layers=1,
        num_heads=2,
        downsample_factor=4,
        num_bins=3,
    )
    return of_functional(model, values={x.name: integers(2) for x in model.inputs if len(x.shape) < 3})


def climate_fusion_transformer() -> Example:
    """Selects variables by gates, remembers, attends, and predicts quantiles."""
    model = forecasting.TemporalFusionTransformer(
        encoder_len=8,
        decoder_len=3,
        num_past_vars=3,
        num_future_vars=2,
        num_static_vars=2,
        hidden_dim=8,
        num_heads=2,
        quantiles=(0.1, 0.5, 0.9),
    )
    return of_functional(model)


def climate_autoformer() -> Example:
    """Finds the lags that repeat by Fourier transforms, and takes the best of them."""
    model = forecasting.Autoformer(
        seq_len=16,
        label_len=8,
        pred_len=4,
        num_channels=3,
        d_model=8,
        num_heads=2,
        d_ff=16,
        encoder_layers=1,
        decoder_layers=1,
        moving_avg=3,
    )
    return of_functional(model)


def climate_nbeats() -> Example:
    model = forecasting.NBeats(
        seq_len=12,
        pred_len=4,
        stack_types=("trend", "seasonality", "generic"),
        num_blocks_per_stack=1,
        hidden_dim=8,
        num_fc_layers=2,
        trend_degree=2,
        num_harmonics=2,
    )
    return of_functional(model)
