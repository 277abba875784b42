"""A simulated machine's ports, as kubectl wants them (kubectl.io.Listener, Connection): real listeners on its network."""

from __future__ import annotations

from kubesim.machine import Machine
from kubesim.net import errors, sockets


class Connection:
    def __init__(self, inner: sockets.Connection) -> None:
        self._inner = inner

    async def recv(self) -> bytes:
        try:
            return await self._inner.recv()
        except errors.NetError:
            return b""

    async def send(self, data: bytes) -> None:
        try:
            await self._inner.send(data)
        except errors.NetError:
            # The other side has gone; what is read next is its end.
            return

    def close(self) -> None:
        self._inner.close()


class Listener:
    def __init__(self, inner: sockets.Listener) -> None:
        self._inner = inner
        self.port = inner.port

    async def accept(self) -> Connection:
        return Connection(await self._inner.accept())

    def close(self) -> None:
        self._inner.close()


async def listen(machine: Machine, address: str, port: int) -> Listener:
    """Listen on the machine; port 0 takes a free one.  kubectl.io.InUse says why it cannot be."""
    from kubesim.kubectl import io

    try:
        return Listener(machine.net.listen("tcp", address, port))
    except errors.NetError as error:
        raise io.InUse(f"bind: {str(error).lower()}") from None
