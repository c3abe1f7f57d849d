"""Models that Keras loads without kerasfx: functions are its own operations, and so are sizes."""
