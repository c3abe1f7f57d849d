"""The command line: what `kerasfx` and `python -m kerasfx` do.

`arguments` says what can be typed, `start` imports Keras for the backend that was asked for, `models` and
`example_inputs` make what was typed into objects, `commands` does the work, `failures` tells of errors.
`arguments` and `options` import neither Keras nor anything that does, so that help comes at once.
"""
