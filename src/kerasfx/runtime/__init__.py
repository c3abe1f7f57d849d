"""What a saved model needs to be loaded and run."""
