"""All private Keras API, and what is asked of Keras's classes."""
