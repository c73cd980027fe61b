"""The demo model: so that a fresh checkout has something to serve.

It knows 137 drawn specimens and says so everywhere; on photos its names mean nothing. The weights that
`python -m training demo --retrain` made are kept here with the record of that run; the first `make run` only
exports them, which takes seconds.
"""
