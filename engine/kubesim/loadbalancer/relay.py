"""Published ports: what VirtualBox's "forwarded_port" and Docker's `-p` do on the computer that a node runs on.

A process there listens and passes the bytes of each connection on, by a connection of its own to the node.  So a client gets
its connection even when nobody listens on the node: it is closed again without an answer (curl's 52, or 56).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.errors import LearnerError
from kubesim.net import errors

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.sockets import Connection
    from kubesim.world import World


def parse(text: str, default: str) -> tuple[int, str, int]:
    """Port there, node and port on the node of "9980:80" (the node is `default`) or "9980:kind-worker:30080"."""
    words = text.split(":")
    if len(words) == 2:
        words.insert(1, default)
    if len(words) != 3 or not (words[0].isdigit() and words[2].isdigit()):
        raise LearnerError(f"forwards: {text!r} is no published port", 'Write "9980:80", or "9980:NODE:80".')
    return int(words[0]), words[1], int(words[2])


async def serve(world: World, host: Host, port: int, target: str, target_port: int) -> None:
    """Listen on `port` of every address of `host`, and relay to the target; for as long as the world lasts."""
    listener = host.listen("tcp", "", port)
    while True:
        client = await listener.accept()
        world.spawn(_relay(world, host, client, target, target_port), f"{host.name}:{port} to {target}:{target_port}")


async def _relay(world: World, host: Host, client: Connection, target: str, port: int) -> None:
    try:
        server = await host.connect(target, port)
    except errors.NetError:
        client.close()
        return
    world.spawn(_copy(server, client), f"from {target}:{port}")
    await _copy(client, server)


async def _copy(source: Connection, sink: Connection) -> None:
    """One direction, to its end: an end of the data is passed on as one, anything worse ends both."""
    try:
        while data := await source.recv():
            await sink.send(data)
        sink.send_eof()
    except errors.NetError:
        source.reset()
        sink.reset()
