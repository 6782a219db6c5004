"""
What has changed of what clients may, as servers tell each other: who is to be asked for again.

A change of a group names the group, and not its members: each server knows which of them it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# The action of a command that says so to all servers, and to the sockets of a target.
REAUTHORIZE = "reauthorize"

# As many names are in one message, and of more users than these nobody is named: all are asked for.
NAMES, MOST = 1_000, 5_000

_EVERYBODY = "*"


@dataclass(slots=True)
class Change:
    """
    Whom a change concerns: users and groups, by their primary keys, sessions by their users and
    `Identity.login`, or everybody. Of `ended` all logins are over, of `logged_out` these are.
    """

    users: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    sessions: set[tuple[str, str]] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    logged_out: set[tuple[str, str]] = field(default_factory=set)
    everybody: bool = False

    def __bool__(self) -> bool:
        return self.everybody or any(
            (self.users, self.groups, self.sessions, self.ended, self.logged_out)
        )

    def add(self, other: Change) -> None:
        """Concern those of another change, too."""
        self.users |= other.users
        self.groups |= other.groups
        self.sessions |= other.sessions
        self.ended |= other.ended
        self.logged_out |= other.logged_out
        self.everybody |= other.everybody

    @property
    def all_users(self) -> set[str]:
        """The users whom it names, for whatever reason."""
        of_sessions = (user for user, _ in self.sessions)
        return self.users.union(self.ended, of_sessions)


def encode(change: Change) -> Iterable[tuple[str, ...]]:
    """Yield the names that tell of a change, as many as a message takes."""
    names = [f"out {user}" for user in change.ended]
    names += [f"logout {login} {user}" for user, login in change.logged_out]
    if change.everybody or len(change.users) + len(change.groups) > MOST:
        names.append(_EVERYBODY)
    else:
        names += [f"user {user}" for user in change.users - change.ended]
        names += [f"group {group}" for group in change.groups]
    sessions = change.sessions - change.logged_out
    names += [f"session {login} {user}" for user, login in sessions if user not in change.ended]
    for start in range(0, len(names), NAMES):
        yield tuple(names[start : start + NAMES])


def decode(names: Iterable[str]) -> Change:
    """Return the change of which names tell; what is none of them is left out."""
    change = Change()
    for name in names:
        kind, _, rest = name.partition(" ")
        login, _, user = rest.partition(" ")
        match kind:
            case "user":
                change.users.add(rest)
            case "group":
                change.groups.add(rest)
            case "session":
                change.sessions.add((user, login))
            case "out":
                change.ended.add(rest)
            case "logout":
                change.logged_out.add((user, login))
            case "*":
                change.everybody = True
    return change
