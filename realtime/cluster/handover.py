"""What a hub needs of the others to give them clients, and to take some of theirs."""

from __future__ import annotations

from collections.abc import Container

from .envelopes import Fence, Forward, Moved, server_group
from .fences import Fences
from .heartbeats import Heartbeats
from .heirs import Heirs
from .layer_connection import LayerConnection
from .memberships import Memberships
from .overflows import Overflows
from .peers import Peers
from .receiver import Receiver
from .rpc import PeerRequests


class Handover:
    """The part of `Cluster` for clients that move between hubs."""

    server: str
    link: LayerConnection
    peers: Peers
    heirs: Heirs
    fences: Fences
    beats: Heartbeats
    overflows: Overflows
    _requests: PeerRequests
    _receiver: Receiver
    _memberships: Memberships

    def join_server(self, server: str) -> None:
        """Ask for what is for clients of another server, some of which are here from now on."""
        self.peers.learn(server)
        self._receiver.leave_lane(server_group(server))
        self._memberships.add(server_group(server))

    def leave_server(self, server: str) -> None:
        """Ask no more for what is for clients of another server."""
        self._memberships.discard(server_group(server))
        self._receiver.leave_lane(server_group(server))

    # What hubs tell each other of that

    def tell(self, server: str, envelope: Moved | Forward) -> None:
        """Tell one other hub, if it is there, of a client that has moved."""
        self._requests.tell(server, envelope)

    async def fence(self) -> None:
        """
        Wait until the layer has what other hubs were sending before, to who was there before.

        What they send after that is for the memberships of now. A hub that does not answer is not
        waited for long.
        """
        await self.fences.wait()

    async def look_for_losses(self) -> None:
        """Take note of what this process has had no room for so far, before clients leave it."""
        await self.overflows.look()

    async def scatter(self) -> None:
        """Let all hubs know that clients of this one are about to be elsewhere, and wait for it."""
        await self.fences.ask(Fence(self.server))

    def note_scattered(self, server: str) -> None:
        """Take note that clients of another hub are about to be elsewhere."""
        self.peers.note_scattered(server)

    def is_peer(self, server: str) -> bool:
        """Tell whether another hub is there, as far as its beats tell."""
        return server in self.peers

    def heir(self, server: str) -> str | None:
        """Return the hub, this one or a peer, that has the sessions of a server that is gone."""
        return self.heirs.find(server)

    def choose_heir(self, excluding: Container[str] = ()) -> str | None:
        """Return a peer to hand sessions to, or None where no other one can have them."""
        return self.heirs.choose(excluding)

    def claim(self, server: str) -> None:
        """Take note that this hub has the sessions of another; `announce` lets all know at once."""
        self.heirs.claim(server)

    def claimed(self) -> list[str]:
        """Return whose heir this hub is."""
        return self.heirs.claimed()

    async def announce(self) -> None:
        """Let all hubs know now what this one reports, as far as the layer works."""
        if self.link.up.is_set():
            try:
                await self.beats.announce()
            except Exception as error:
                await self.link.examine(error)
