"""One replica as a process, controlled by lines of JSON on its standard input. It ends at the end of that input.

The first line is its `Behaviour`; the answer holds its port. Every further line holds the fields to change, or none;
the answer is what it has seen so far.
"""

import asyncio
import json
import sys
from typing import Any

import uvloop

from tests.chaos.simulator.http import Connection
from tests.chaos.simulator.replica import Behaviour, SimulatedReplica


async def serve(host: str, port: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    replica = SimulatedReplica(Behaviour(**json.loads(await orders.readline())))
    server = await loop.create_server(lambda: Connection(replica), host, port, backlog=512)
    if replica.behaviour.grpc_port:
        from tests.chaos.simulator import grpc_server  # takes as long to import as everything else

        speaking_grpc = await grpc_server.start(replica, f"{host}:{replica.behaviour.grpc_port}")
        assert speaking_grpc
    tell({"port": server.sockets[0].getsockname()[1]})
    while line := await orders.readline():
        replica.become(json.loads(line))
        tell(replica.seen())


def tell(document: dict[str, Any]) -> None:
    """Write one line to the harness."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
