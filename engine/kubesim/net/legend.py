"""What the names in a host's rules mean: a map's legend, kept by whoever writes rules with names that no human reads.

`cali-pi-_tTE-E7yY40ogArNVgKt` is a hash, and the kernel neither knows nor cares what of.  The program that wrote the chain
does, and may leave a note here for traces.  Nothing of this is asked when a packet's fate is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubesim.net.packet import Packet


def _silent(_chain: str, _packet: Packet) -> str:
    return ""


@dataclass
class Legend:
    """`names` says what chains and sets are, `dropped` why a chain drops a packet ("" where it cannot tell)."""

    names: dict[str, str] = field(default_factory=dict)
    dropped: Callable[[str, Packet], str] = _silent

    def named(self, name: str) -> str:
        """The name, with what it means where that is known."""
        meaning = self.names.get(name)
        return f"{name} ({meaning})" if meaning else name
