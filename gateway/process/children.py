"""Starting child processes from the event loop."""

import asyncio
from typing import Any


async def start(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """`asyncio.create_subprocess_exec`, except that a child is killed when its start is cancelled.

    uvloop would leave it running, with its pipes open in this process.
    """
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*command, **options))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if not starting.exception():
            await _kill(starting.result())
        raise


async def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.communicate()
