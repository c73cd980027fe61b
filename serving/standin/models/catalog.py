"""The loaded versions and the version labels, where requests look them up.

The version manager's threads write it; the threads that answer requests read it.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from serving.standin.errors import Code, StatusError
from serving.standin.models.servable import Servable


@dataclass(frozen=True)
class ModelAddress:
    """The model that a request names, with a version or a label or neither."""

    model: str
    version: int | None = None
    label: str | None = None


class Catalog:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, dict[int, Servable]] = {}
        self.labels: Mapping[str, Mapping[str, int]] = {}
        """Model -> label -> version."""

    def add(self, model: str, version: int, servable: Servable) -> None:
        with self._lock:
            self._loaded.setdefault(model, {})[version] = servable

    def remove(self, model: str, version: int) -> Servable:
        """Hide the version from new requests. Requests that use it may still run."""
        with self._lock:
            return self._loaded[model].pop(version)

    def has(self, model: str, version: int) -> bool:
        return version in self._loaded.get(model, {})

    @contextmanager
    def lease(self, address: ModelAddress) -> Iterator[tuple[int, Servable]]:
        """The version that a request names and its number. It is not closed while the block runs.

        Raises:
            StatusError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        with ExitStack() as use:
            with self._lock:
                number, servable = self._find(address)
                use.enter_context(servable.in_use())
            yield number, servable

    def _find(self, address: ModelAddress) -> tuple[int, Servable]:
        number = self._number(address)
        loaded = self._loaded.get(address.model, {})
        if number is None and loaded:
            number = max(loaded)
        if number is None or number not in loaded:
            wanted = f"Latest({address.model})" if number is None else f"Specific({address.model}, {number})"
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return number, loaded[number]

    def _number(self, address: ModelAddress) -> int | None:
        if address.label is None:
            return address.version
        try:
            return self.labels[address.model][address.label]
        except KeyError:
            raise StatusError.invalid(f"Unrecognized servable version label: {address.label}") from None
