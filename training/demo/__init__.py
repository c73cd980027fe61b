"""The demo model: so that a fresh checkout has something to serve.

It knows 137 drawn specimens; on photos its labels mean nothing, and every description of it says so. The weights that
`python -m training demo --retrain` made are kept here with the record of that run; the first `make run` only
exports them, which takes seconds.
"""
