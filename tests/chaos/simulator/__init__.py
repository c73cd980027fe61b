"""A model server that fails on request: TensorFlow Serving's surface on real sockets, in a process of its own.

It imports neither NumPy nor the gateway, so that a replica that was killed is back within a tenth of a second.
"""
