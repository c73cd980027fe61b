"""Pictures decoded in processes of the gateway's own, which may crash, hang or be killed without harm to it.

`pool` has the decode processes take turns; `processes` is the gateway's end of each; `forkserver` is the small
process that they are forked from, and `worker` what runs in them; `protocol` is what both ends agree on.
This file stays empty: the fork server and workers import the package, and must remain small.
"""
