"""The verbs of `python -m training` that judge and release models, as typed into a shell.

Each verb imports what it needs when it is called, so that --help is quick.
"""
