"""One replica as a process: told what to be on its standard input, a line of JSON at a time; ends with that input.

The first line is its `Behaviour`, the answer its port. Every further line holds the fields to change, perhaps none;
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
    """Until nobody speaks to us any more."""
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
    """One line to whoever started us."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
