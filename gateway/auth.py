"""Who may ask: an API key, of which only the hash is kept, names the caller.

`python -m gateway.auth NAME` makes one: the key for the caller, and the line for GATEWAY_API_KEYS_FILE. Keys are 32
random bytes, so a plain SHA-256 is enough: nobody tries them all. Bad keys are counted by address.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from fastapi import Request

from gateway.errors import TooManyBadKeysError, UnauthorizedError
from gateway.settings import Network

MOST_BAD_KEYS, WITHIN_S = 10, 60
MOST_ADDRESSES = 10_000
"""Remembered at once; the oldest is forgotten first."""
FREE = frozenset({"/healthz", "/readyz"})
"""For load balancers, which have no key."""

_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")


class KeysError(Exception):
    """The file of keys cannot be used; the message says why."""


def read_keys(file: Path) -> dict[bytes, str]:
    """SHA-256 of each key -> name of the caller, from lines `name:hex`; empty lines and # comments are skipped.

    Raises:
        KeysError: a line is neither, or there is no key at all.
    """
    keys: dict[bytes, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not (parts := _LINE.fullmatch(line.strip())):
            raise KeysError(f"line {number} of {file} is not NAME:SHA256; make one with `python -m gateway.auth NAME`")
        keys[bytes.fromhex(parts[2])] = parts[1]
    if not keys:
        raise KeysError(f"there is no key in {file}; make one with `python -m gateway.auth NAME`")
    return keys


class BadKeys:
    """Wrong keys by address: ten within a minute, and the address waits until the minute is over."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Address -> when its minute began, and wrong keys since."""

    def wait_s(self, address: str, now: float) -> float:
        """How long the address must wait; 0 when it need not."""
        began, count = self._seen.get(address, (now, 0))
        return max(0.0, began + WITHIN_S - now) if count >= MOST_BAD_KEYS else 0.0

    def add(self, address: str, now: float) -> None:
        """One more."""
        began, count = self._seen.pop(address, (now, 0))
        self._seen[address] = (began, count + 1) if now < began + WITHIN_S else (now, 1)
        while len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)


class Guard:
    """A dependency of routes: lets in who has a key."""

    def __init__(self, keys: dict[bytes, str], trusted_proxies: Sequence[Network]) -> None:
        self._keys = keys
        self._trusted = trusted_proxies
        self._bad = BadKeys()

    async def __call__(self, request: Request) -> None:
        """Note the caller's name.

        Raises:
            UnauthorizedError, TooManyBadKeysError: as an answer to the client.
        """
        if request.scope["path"] in FREE:
            return
        address, now = client_address(request, self._trusted), monotonic()
        if wait_s := self._bad.wait_s(address, now):
            raise TooManyBadKeysError("Too many wrong API keys came from your address.", retry_after_s=int(wait_s) + 1)
        key = _key(request)
        if not key:
            raise UnauthorizedError("Send your API key: Authorization: Bearer KEY, or X-API-Key: KEY.")
        caller = self._caller(key)
        if caller is None:
            self._bad.add(address, now)
            raise UnauthorizedError("This API key is not known here.")
        request.state.caller = caller

    def _caller(self, key: str) -> str | None:
        """Every hash is looked at, each in constant time, so that the time tells nothing."""
        digest = hashlib.sha256(key.encode("latin-1", errors="replace")).digest()
        found = None
        for known, name in self._keys.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()


def client_address(request: Request, trusted: Sequence[Network]) -> str:
    """Who asks: the peer, or whom a trusted proxy names; of IPv6 the first 64 bits, which one household has.

    X-Forwarded-For is read from its end, as far as trusted proxies wrote it: what stands before is the client's word.
    """
    address = request.client.host if request.client else ""
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    while forwarded and _within(address, trusted):
        before = forwarded.pop().strip()
        if not before or not _is_address(before):
            break
        address = before
    if ":" in address and _is_address(address):
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    return address


def caller_of(request: Request, trusted: Sequence[Network]) -> str:
    """Who asks, in words that stay the same: the name that belongs to the key, else the address."""
    return getattr(request.state, "caller", None) or client_address(request, trusted)


def _within(address: str, networks: Sequence[Network]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def main() -> None:
    """Make a key; it is shown once and kept nowhere."""
    if len(sys.argv) != 2 or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", sys.argv[1]):
        sys.exit("usage: python -m gateway.auth NAME   (letters, digits, dot, dash, underscore)")
    key = secrets.token_urlsafe(32)
    sys.stdout.write(f"key, for the caller: {key}\n")
    sys.stdout.write(f"line for GATEWAY_API_KEYS_FILE: {sys.argv[1]}:{hashlib.sha256(key.encode()).hexdigest()}\n")


if __name__ == "__main__":
    main()
