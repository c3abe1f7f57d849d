"""Random models as code that a user could have written, and the property that each must have.

plans      a model as plain data that shrinks well, and how it is drawn
values     the tensors of such a model: name, shape, dtype
writing    the class of a layer while its code is written
options    the arguments of `prepare_model` that a user gives some of
steps      what a layer may do, by field: each step writes a line or two if it fits the tensors at hand
sources    a plan as the source code of a model
making     the code as a model, with its inputs
judging    the property: prepared right, or refused with advice, and nothing else touched
campaign   many models, stopped and continued, with faults made small; `python -m tests.random_models`
"""
