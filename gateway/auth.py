"""API keys: which caller a key belongs to, and how many wrong keys one address may send.

The gateway keeps the SHA-256 of each key only. Keys are 32 random bytes, so a plain hash is enough: they cannot be
guessed. `python -m gateway.auth NAME` makes a key and its line for GATEWAY_API_KEYS_FILE.
"""

import hashlib
import hmac
import re
import secrets
import stat
import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import Scope

from gateway.errors import TooManyBadKeysError, UnauthorizedError
from gateway.fairness import CALLER, address_of
from gateway.settings import Network

MAX_WRONG_KEYS, WINDOW_S = 10, 60
MAX_ADDRESSES = 10_000
"""Addresses remembered at once; the oldest is forgotten first."""
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""For load balancers, which have no key."""

_NAME = r"[A-Za-z0-9._-]{1,64}"
_LINE = re.compile(rf"({_NAME}):([0-9a-f]{{64}})")


class KeysError(Exception):
    """The file of keys cannot be used; the message says why and what to do."""


def read_keys(file: Path) -> dict[bytes, str]:
    """SHA-256 of each key -> name of its caller, from lines `NAME:HEX`; empty lines and # comments are skipped.

    Raises:
        KeysError: the file cannot be read, holds another kind of line, or holds no key.
    """
    keys: dict[bytes, str] = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not (parts := _LINE.fullmatch(line.strip())):
            raise KeysError(f"line {number} of {file} is not NAME:SHA256; make one with `python -m gateway.auth NAME`")
        keys[bytes.fromhex(parts[2])] = parts[1]
    if not keys:
        raise KeysError(f"there is no key in {file}; make one with `python -m gateway.auth NAME`")
    return keys


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # a byte order mark is skipped
    except UnicodeDecodeError:
        raise KeysError(f"{file} is not UTF-8 text; save it as UTF-8") from None
    except OSError as cause:
        raise KeysError(f"{file} cannot be read: {cause.strerror}") from cause


def writable_by_others(file: Path) -> bool:
    """Whether another user than the file's owner may add a key of their own; reading it gives away hashes only."""
    return bool(file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


class WrongKeys:
    """Counts wrong keys by address. After ten within a minute, more of them are refused until the minute is over."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Address -> when its minute began, and wrong keys since."""

    def wait_s(self, address: str, now: float) -> float:
        """How long the address must wait before its next guess; 0: not at all."""
        began, count = self._seen.get(address, (now, 0))
        return max(0.0, began + WINDOW_S - now) if count >= MAX_WRONG_KEYS else 0.0

    def add(self, address: str, now: float) -> None:
        """Count one wrong key."""
        began, count = self._seen.pop(address, (now, 0))
        self._seen[address] = (began, count + 1) if now < began + WINDOW_S else (now, 1)
        while len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)


class Callers:
    """Whose requests they are: by key, else by address."""

    def __init__(self, keys: dict[bytes, str], trusted_proxies: tuple[Network, ...]) -> None:
        self._keys = keys
        self._trusted = trusted_proxies

    def of(self, scope: Scope) -> str:
        """The name of the caller's key, where it is known here; else the caller's address."""
        return (self._keys and self.named(_key(scope))) or self.address(scope)

    def address(self, scope: Scope) -> str:
        """See `fairness.address_of`."""
        return address_of(scope, self._trusted)

    def named(self, key: str) -> str | None:
        """Every hash is compared in constant time, found or not, so that the time tells nothing."""
        digest = hashlib.sha256(key.encode("latin-1", errors="replace")).digest()
        found = None
        for known, name in self._keys.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


class Guard:
    """A dependency of routes: lets a request in that has a known key."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._wrong = WrongKeys()

    async def __call__(self, request: Request) -> None:
        """Note the caller's name in `request.state.caller`, and as the one whose share the request takes.

        A known key always passes, however many wrong ones came from its address: callers may share an address.

        Raises:
            UnauthorizedError: there is no key, or a wrong one.
            TooManyBadKeysError: the key is wrong, and its address sent ten wrong ones within this minute.
        """
        if request.scope["path"] in OPEN_PATHS:
            return
        key = _key(request.scope)
        if not key:
            raise UnauthorizedError("Send your API key: Authorization: Bearer KEY, or X-API-Key: KEY.")
        caller = self._callers.named(key)
        if caller is None:
            self._refuse_more_guesses(self._callers.address(request.scope))
            raise UnauthorizedError("This API key is not known here.")
        request.state.caller = caller
        CALLER.set(caller)

    def _refuse_more_guesses(self, address: str) -> None:
        now = monotonic()
        if wait_s := self._wrong.wait_s(address, now):
            raise TooManyBadKeysError("Too many wrong API keys came from your address.", retry_after_s=int(wait_s) + 1)
        self._wrong.add(address, now)


def _key(scope: Scope) -> str:
    headers = Headers(scope=scope)
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()


def client_address(request: Request, trusted: Sequence[Network]) -> str:
    """The address of the client of a request; see `address_of`."""
    return address_of(request.scope, tuple(trusted))


def caller_of(request: Request, trusted: Sequence[Network]) -> str:
    """A text that is the same for every request of one caller: the name of its key, else its address."""
    return getattr(request.state, "caller", None) or client_address(request, trusted)


def main() -> None:
    """Make a key. It is shown once and not kept."""
    if len(sys.argv) != 2 or not re.fullmatch(_NAME, sys.argv[1]):
        sys.exit("usage: python -m gateway.auth NAME   (1 to 64 letters, digits, dots, dashes, underscores)")
    key = secrets.token_urlsafe(32)
    sys.stdout.write(f"key, for the caller: {key}\n")
    sys.stdout.write(f"line for GATEWAY_API_KEYS_FILE: {sys.argv[1]}:{hashlib.sha256(key.encode()).hexdigest()}\n")


if __name__ == "__main__":
    main()
