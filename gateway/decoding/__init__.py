"""Pictures are decoded in processes that may crash, hang or be killed without harm to the gateway.

`pool` holds the worker pools; `processes` is the gateway's end of each decode process; `forkserver` is the small
process that they are forked from; `worker` runs in them; `protocol` defines the messages between them.
This file stays empty: the fork server and the workers import the package, and must remain small.
"""
