"""Keep the loaded versions as configuration and disk want them: scan, load, swap, unload.

The rules are in `version_policy`; here are the threads, the clock and the disk. One thread scans and decides; each load
and each unload has a thread of its own. Unlike in the real server, a model whose folder is missing delays no other
model, and neither does a load that is slow or fails.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from serving.standin.errors import Code, StatusError
from serving.standin.models.catalog import Catalog, ModelAddress
from serving.standin.models.config import ConfigError, ModelConfig
from serving.standin.models.servable import Servable
from serving.standin.models.version_policy import ModelVersions, Retries, State, Version

log = logging.getLogger(__name__)

_LARGEST_VERSION = (1 << 63) - 1
_TICK_S = 0.1
"""Longest wait before the manager looks whether a scan or a retry is due; other changes wake it at once."""

Models = Mapping[str, ModelConfig]


class StartError(Exception):
    """A model that is to be served from the start will not become available."""


@dataclass(frozen=True)
class ManagerOptions:
    scan_every_s: float
    """0: once; negative: never."""
    reread_config_every_s: float
    """0: never."""
    retries: Retries
    loads_at_once: int
    label_unavailable_versions: bool


class VersionManager:
    def __init__(
        self,
        catalog: Catalog,
        load: Callable[[Path], Servable],
        read_models: Callable[[], Models],
        options: ManagerOptions,
    ) -> None:
        """Raises ConfigError: from `read_models`, or because a label names a version that is not available yet."""
        self._catalog = catalog
        self._load = load
        self._read_models = read_models
        self._options = options
        self._changed = threading.Condition()
        self._stopping = False
        self._config: Models = {}
        self._models: dict[str, ModelVersions] = {}
        self._folders: dict[tuple[str, int], Path] = {}
        self._warnings: dict[str, str | None] = {}
        self._loading = 0
        self._next_scan = self._next_reread = 0.0
        self._apply(read_models())

    def start(self) -> None:
        self._next_reread = time.monotonic() + self._options.reread_config_every_s
        threading.Thread(target=self._run, name="version manager", daemon=True).start()

    def stop(self) -> None:
        """Begin no more loads and unloads; what is loaded stays so."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait_until_serving(self) -> None:
        """Block until every configured model has an available version, which may be never.

        Raises:
            StartError: a model will not become available.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._start_failure() or self._all_available())
            if failure := self._start_failure():
                raise StartError(failure)

    def versions(self, model: str) -> list[Version]:
        """Copies of their current state, highest number first; unloaded versions are included."""
        with self._changed:
            known = self._models.get(model)
            return [replace(version) for version in known.highest_first()] if known else []

    def described(self, address: ModelAddress) -> list[Version]:
        """The versions that a status request asks about.

        Raises:
            StatusError: NOT_FOUND where there are none.
        """
        versions = [v for v in self.versions(address.model) if address.version in (None, v.number)]
        if not versions:
            which = "any versions" if address.version is None else f"version {address.version}"
            raise StatusError(Code.NOT_FOUND, f"Could not find {which} of model {address.model}")
        return versions

    def knows(self, model: str) -> bool:
        return model in self._models

    def _start_failure(self) -> str | None:
        failed = {name: model.failed for name, model in self._models.items() if model.failed}
        return "; ".join(f"{name} did not become available: {error}" for name, error in failed.items()) or None

    def _all_available(self) -> bool:
        return all(name in self._models and self._models[name].available for name in self._config)

    # The manager's own thread

    def _run(self) -> None:
        while not self._stopping:
            now = time.monotonic()
            self._reread_config(now)
            self._scan(now)
            with self._changed:
                self._act(now)
                self._changed.wait(_TICK_S)

    def _reread_config(self, now: float) -> None:
        every = self._options.reread_config_every_s
        if every <= 0 or now < self._next_reread:
            return
        self._next_reread = now + every
        try:
            config = self._read_models()
            if config != self._config:
                self._apply(config)
        except ConfigError as error:
            log.error("The configuration stays as it was: %s", error)

    def _apply(self, config: Models) -> None:
        self._check_labels(config)
        with self._changed:
            for name in self._models.keys() - config.keys():
                self._models[name].want(())
            self._config = config
            self._catalog.labels = {name: model.labels for name, model in config.items()}
            self._next_scan = 0.0

    def _check_labels(self, config: Models) -> None:
        for name, model in config.items():
            present = self._catalog.labels.get(name, {})
            for label, version in model.labels.items():
                fresh = self._options.label_unavailable_versions and label not in present
                if present.get(label) != version and not fresh and not self._catalog.has(name, version):
                    raise ConfigError(
                        f"Request to assign label {label} to version {version} of model {name}, which is not"
                        " currently available for inference"
                    )

    def _scan(self, now: float) -> None:
        every = self._options.scan_every_s
        if every < 0 or now < self._next_scan:
            return
        self._next_scan = now + every if every else float("inf")
        for model in list(self._config.values()):
            folders = version_folders(model.base_path)
            self._warn_if_missing(model, folders)
            if folders is None:
                continue
            with self._changed:
                known = self._models.setdefault(model.name, ModelVersions(self._options.retries))
                known.want(model.policy.choose(folders))
                self._folders.update({(model.name, number): path for number, path in folders.items()})

    def _warn_if_missing(self, model: ModelConfig, folders: Mapping[int, Path] | None) -> None:
        """Log once, until something changes: the scan comes every second."""
        missing = "base path" if folders is None else "versions under" if not folders else None
        if missing and self._warnings.get(model.name) != missing:
            log.warning("Could not find %s %s for model %s", missing, model.base_path, model.name)
        self._warnings[model.name] = missing

    def _act(self, now: float) -> None:
        """Begin the loads and unloads that are due. Holds the lock, so that no thread it starts can settle before."""
        try:
            for name, model in self._models.items():
                while version := model.next_unload():
                    _start_thread("unload", self._unload_one, name, version)
                    version.state = State.UNLOADING
                while self._loading < self._options.loads_at_once and (version := model.next_load(now)):
                    _start_thread("load", self._load_one, name, version, self._folders[name, version.number])
                    version.state, version.attempting = State.LOADING, True
                    self._loading += 1
        except RuntimeError as error:  # no more threads for this process; the next tick tries again
            log.error("A model version could not be loaded or unloaded: %s", error)

    # A load takes seconds, and an unload waits for the requests that use the version

    def _load_one(self, name: str, version: Version, folder: Path) -> None:
        outcome: Servable | StatusError
        try:
            outcome = self._load(folder)
        except StatusError as error:
            outcome = error
        except OSError as error:
            outcome = StatusError(Code.UNKNOWN, str(error))
        except Exception:
            log.exception("Loading %s version %d broke off", name, version.number)
            outcome = StatusError(Code.INTERNAL, "The failure has been logged")
        self._settle(name, version, outcome)

    def _settle(self, name: str, version: Version, outcome: Servable | StatusError) -> None:
        with self._changed:
            self._loading -= 1
            if isinstance(outcome, StatusError):
                self._models[name].load_failed(version, outcome, time.monotonic())
                log.error("Loading %s version %d failed: %s", name, version.number, outcome)
            else:
                self._catalog.add(name, version.number, outcome)
                version.state, version.attempting, version.error = State.AVAILABLE, False, None
                log.info("Successfully loaded servable version {name: %s version: %d}", name, version.number)
            self._changed.notify_all()

    def _unload_one(self, name: str, version: Version) -> None:
        try:
            self._catalog.remove(name, version.number).close()
            log.info("Unloaded servable version {name: %s version: %d}", name, version.number)
        except StatusError as error:
            log.error("Unloading %s version %d failed: %s", name, version.number, error)
        with self._changed:
            version.state = State.END
            self._changed.notify_all()


def _start_thread(purpose: str, work: Callable[..., None], name: str, version: Version, *more: object) -> None:
    threading.Thread(
        target=work, args=(name, version, *more), name=f"{purpose} {name} {version.number}", daemon=True
    ).start()


def version_folders(base_path: Path) -> dict[int, Path] | None:
    """Version number to folder. Leading zeros are allowed: `0001` is 1. None where `base_path` cannot be read."""
    try:
        entries = [entry for entry in base_path.iterdir() if entry.is_dir()]
    except OSError:
        return None
    numbered = {int(entry.name): entry for entry in sorted(entries) if _is_number(entry.name)}
    return {number: folder for number, folder in numbered.items() if number <= _LARGEST_VERSION}


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 20
