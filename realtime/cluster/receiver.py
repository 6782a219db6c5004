"""What arrives of other hubs: parcels are opened, and each envelope is led to whom it is for."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from ..logs import log
from .envelopes import (
    HUBS,
    AnyEnvelope,
    Beat,
    Command,
    Echo,
    Emit,
    Forward,
    Hole,
    Moved,
    Parcel,
    open_parcel,
    unpack,
)
from .heartbeats import Heartbeats
from .heirs import Heirs
from .loss_log import LossLog
from .peers import BEAT, EXPIRY, Peers
from .reports import check_report
from .rpc import Actions, PeerRequests
from .sequence_tracking import Incoming
from .sequences import Position

# How late it may be noticed that a message was lost: a beat tells it that comes after the next one,
# if nothing has before, and whoever sends it may stand still for a while.
LATE = 2 * (BEAT + EXPIRY)


class Receiver:
    """
    Takes what the layer brings the hub `server`.

    `actions` do what other hubs ask for with sockets, `beats` and `requests` have the rest;
    `heirs` learns from beats who is whose. `is_leaving(group)` tells whether what comes of a group
    may be of a membership that ends, and so no sign that what does not come is lost.
    """

    def __init__(
        self,
        server: str,
        peers: Peers,
        beats: Heartbeats,
        requests: PeerRequests,
        actions: Actions,
        *,
        heirs: Heirs,
        is_leaving: Callable[[str], bool],
    ) -> None:
        self._server = server
        self._peers = peers
        self._heirs = heirs
        self._is_leaving = is_leaving
        self._beats = beats
        self._requests = requests
        self._actions = actions
        self._incoming = Incoming()
        # What takes this hub's own envelopes, with their numbers in the log, where it waits for
        # them.
        self.hear_return: Callable[[AnyEnvelope, int], None] | None = None
        self._own_number = 0
        # The last number of the log that came, and what is kept for later.
        self.logged_upto = 0
        self._held: list[Any] | None = None
        self._is_catching_up = False
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._unheard = defaultdict[str, LossLog](partial(LossLog, loop))
        self._overflow = LossLog(loop)

    @property
    def lost(self) -> int:
        """How many messages to this hub are known to be lost."""
        return self._incoming.lost

    def leave_lane(self, group: str) -> None:
        """Take note that the hub joins or leaves a group, where counting starts anew."""
        self._incoming.leave_lane(group)

    def forget_server(self, server: str, left: bool) -> None:
        """
        Take note that a hub is gone, and log what is known to be lost of it.

        One that did not say goodbye (`left`) may come back, and send again what it got no answer
        for.
        """
        if left:
            self._incoming.forget_server(server)
        if server in self._unheard:
            self._unheard.pop(server).tell()

    def note_overflow(self, lanes: Iterable[str | None], unnumbered: int, since: float) -> None:
        """
        Take note that something of lanes (None: any) was lost since a time of the event loop's,
        and count the messages of those that do not number them.
        """
        for lane in lanes:
            self._actions.lose(lane, since - BEAT)  # it was lost before that was noted
        if unnumbered:
            self._incoming.lost += unnumbered
            self._overflow.note(unnumbered, error="the channel of this process was full")

    def close(self) -> None:
        """Log what is lost and was not told yet."""
        for losses in (*self._unheard.values(), self._overflow):
            losses.tell()

    def handle(self, message: Any) -> None:
        """Take a message of the layer: a parcel of another hub, or this hub's own beat."""
        try:
            parcel = open_parcel(message)
        except msgspec.ValidationError as error:
            log(logging.WARNING, "layer-ignored", error=error)
            return
        if parcel.log:
            if parcel.log <= self.logged_upto:
                return  # this hub is in two of its groups, or has read it in the log
            self.logged_upto = parcel.log
        if parcel.server == self._server:
            if parcel.lane == HUBS and not parcel.number:
                self._hear_own(parcel)
            elif self.hear_return is not None:
                self._take_back(parcel)
            return
        if parcel.number:
            position = Position(parcel.number, parcel.place)
            if not position.plausible:
                log(
                    logging.WARNING,
                    "layer-ignored",
                    server=parcel.server,
                    error=f"nobody counts to {position}",
                )
                return
            if not self._accept(parcel, position):
                return
        number = parcel.log if self.hear_return is not None else 0  # of a log that this hub has
        for place, envelope in enumerate(unpack(parcel)):
            if isinstance(envelope, Exception):
                log(logging.WARNING, "layer-ignored", server=parcel.server, error=envelope)
                continue
            try:
                self._dispatch(parcel, envelope, number and number + place)
            except Exception:  # the others in this message are as good as without it
                log(logging.ERROR, "layer-error", server=parcel.server, exc_info=True)

    # Catching up

    @property
    def holding(self) -> bool:
        """Whether what comes is kept for later."""
        return self._held is not None

    def take(self, message: Any) -> None:
        """Take a message of the layer, or keep it for later."""
        if self._held is None:
            self.handle(message)
        else:
            self._held.append(message)

    def hold(self) -> None:
        """Keep what comes, from now on."""
        if self._held is None:
            self._held = []

    def release(self, missed: Iterable[Any]) -> None:
        """
        Take messages that did not come, and then what was kept.

        What is in no log, and so is missing, is nothing that clients are told of.
        """
        held, self._held = self._held or [], None
        self._incoming.leave_all()
        self._is_catching_up = True
        try:
            for message in missed:
                self.handle(message)
        finally:
            self._is_catching_up = False
            self._incoming.leave_all()
        for message in held:
            self.handle(message)

    def _take_back(self, parcel: Parcel) -> None:
        """Take what this hub has sent itself, where that comes back."""
        assert self.hear_return is not None
        if parcel.number and parcel.number <= self._own_number:
            return  # it was sent again, since its answer was lost
        self._own_number = max(parcel.number, self._own_number)
        for place, envelope in enumerate(unpack(parcel)):
            try:
                if not isinstance(envelope, Exception):
                    self.hear_return(envelope, parcel.log and parcel.log + place)
            except Exception:
                log(logging.ERROR, "layer-error", server=parcel.server, exc_info=True)

    def _accept(self, parcel: Parcel, position: Position) -> bool:
        """Count a parcel, and take note of what is lost before it; tell whether it is new."""
        is_leaving = parcel.lane != self._requests.channel and self._is_leaving(parcel.lane)
        if is_leaving:
            self._incoming.leave_lane(parcel.lane)
        accepted, lost = self._incoming.accept(parcel.server, parcel.lane, position)
        if is_leaving:
            self._incoming.leave_lane(parcel.lane)
        self._note_lost(parcel.server, parcel.lane, lost)
        return accepted

    def _hear_own(self, parcel: Parcel) -> None:
        for envelope in unpack(parcel):
            if isinstance(envelope, Beat) and envelope.server == self._server:
                self._beats.heard_own(envelope)
            elif isinstance(envelope, Hole):
                self._actions.lose(None, self._now() - LATE)

    def _dispatch(self, parcel: Parcel, envelope: AnyEnvelope, number: int) -> None:
        """Lead an envelope to whom it is for."""
        server = parcel.server
        if isinstance(envelope, (Emit, Command)):
            self._actions.receive(server, envelope, parcel.lane == self._requests.channel, number)
        elif isinstance(envelope, Hole):
            self._actions.lose(None, self._now() - LATE)
        elif isinstance(envelope, (Moved, Forward)):
            self._actions.follow(server, envelope)
        elif isinstance(envelope, Beat):
            if envelope.server != server:
                log(
                    logging.WARNING,
                    "layer-ignored",
                    server=server,
                    error=f"a beat of {envelope.server}",
                )
                return
            self._note_lost(server, None, self._incoming.check_tails(server, envelope.tails))
            self._check_report(envelope)
            self._heirs.heard(server, envelope.report.get("heir_of", ()))
            self._beats.heard(envelope)
        elif not isinstance(envelope, Echo):
            self._requests.handle(server, envelope)

    def _check_report(self, beat: Beat) -> None:
        """Leave out of a beat what it cannot truly report: it is a sign of life all the same."""
        if not beat.report:
            return
        try:
            beat.report = check_report(beat.report)
        except msgspec.ValidationError as error:
            log(logging.WARNING, "layer-ignored", server=beat.server, error=f"a report: {error}")
            beat.report = {}

    def _note_lost(self, server: str, lane: str | None, lost: int) -> None:
        if lost and not self._is_catching_up:
            self._actions.lose(lane, self._now() - LATE)
            # One for all who are no peers: their names may be made up.
            cause = server if server in self._peers else ""
            self._unheard[cause].note(lost, server=server)
