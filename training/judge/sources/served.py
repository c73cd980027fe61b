"""Models that run elsewhere: a replica of TensorFlow Serving, called as by the gateway, or a gateway, with uploads.

Only this file of training uses HTTP.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import numpy as np

from gateway.errors import ContractError
from gateway.failures import ReplicaError
from gateway.imaging import fingerprint
from gateway.labels import LabelMap
from gateway.tfserving.contract import DESCRIBE, Prediction, ServedModel, Terms, accept
from gateway.tfserving.rest import RestClient
from training.errors import JudgementError
from training.judge.examples import Picture
from training.judge.sources.source import Facts, Outputs, checked, facts_of

AT_ONCE = 4
"""Concurrent requests."""
TIMEOUT_S = 60.0
PROBE_S = 0.2
BUSY_TRIES = 5
"""Attempts at a gateway that is full, each after the pause that it asked for."""
KEY_VARIABLE = "SPECIMEN_API_KEY"
"""Environment variable with the API key for a gateway; other users could read a command line."""

Answer = TypeVar("Answer")


class Replica:
    """One model server, at `http://HOST:PORT/v1/models/NAME`."""

    def __init__(self, url: str, label_map: LabelMap | None, input_range: str) -> None:
        parts = urlsplit(url)
        self._address, self._model = parts.netloc, parts.path.removeprefix("/v1/models/").strip("/")
        self._terms = Terms(self._model, fingerprint(), label_map, input_range)
        self._served = self._run(self._accepted, url)
        self.facts = facts_of(self._served, url, in_process=False)

    def ask(self, pictures: Sequence[Picture]) -> Outputs:
        async def all_of_them(client: RestClient) -> Sequence[Prediction]:
            turns = asyncio.Semaphore(AT_ONCE)

            async def one(picture: Picture) -> Prediction:
                async with turns:
                    return await client.predict(self._address, self._served, picture.pixels)

            return await asyncio.gather(*map(one, pictures))

        predictions = self._run(all_of_them, self.facts.name)
        familiarity = np.array([one.familiarity for one in predictions]) if self._served.familiarity else None
        return checked([one.probabilities for one in predictions], self.facts, len(pictures), familiarity)

    def close(self) -> None:
        """Nothing to close: each call of `ask` has its own connections."""

    async def _accepted(self, client: RestClient) -> ServedModel:
        states = await client.status(self._address, self._model)
        available = [version for version, state in states.items() if state.state == "AVAILABLE"]
        if not available:
            raise JudgementError(f"{self._address} has no version of {self._model} that is AVAILABLE.")
        version = max(available)
        signatures = await client.signatures(self._address, self._model, version)
        described = await client.describe(self._address, self._model, version) if DESCRIBE in signatures else None
        return accept(str(version), signatures, described, self._terms)

    def _run(self, work: Callable[[RestClient], Awaitable[Answer]], name: str) -> Answer:
        async def session() -> Answer:
            async with asyncio.timeout(TIMEOUT_S), RestClient() as client:
                return await work(client)

        try:
            return asyncio.run(session())
        except (ReplicaError, ContractError, TimeoutError) as cause:
            reason = str(cause) or f"no answer within {TIMEOUT_S:g} s"
            raise JudgementError(f"{name} cannot be asked: {reason}.") from cause


class Gateway:
    """A running gateway. It gets the files, as from a client, so its decoding is part of the comparison."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._client = _client(url, TIMEOUT_S, transport)
        try:
            answer = self._json(self._client.get, "/v1/labels")
        except JudgementError:
            self._client.close()
            raise
        # A gateway does not tell whether the labels are exhaustive.
        labels, version = tuple(answer["labels"]), answer["model"]["version"]
        self.facts = Facts(url, labels, version=version, in_process=False, exhaustive=False)

    def ask(self, pictures: Sequence[Picture]) -> Outputs:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return checked(list(threads.map(self._one, pictures)), self.facts, len(pictures))

    def close(self) -> None:
        self._client.close()

    def _one(self, picture: Picture) -> Any:
        answer = self._json(
            self._client.post,
            "/v1/classify",
            params={"top_k": len(self.facts.labels)},
            files={"image": ("picture", picture.data)},
        )
        if answer["model"]["version"] != self.facts.version:
            raise JudgementError(f"{self.facts.name} changed its version during the evaluation: start again.")
        row = np.zeros(len(self.facts.labels))
        for ranked in answer["predictions"]:
            row[ranked["index"]] = ranked["confidence"]
        return row

    def _json(self, call: Callable[..., httpx.Response], path: str, **options: Any) -> Any:
        try:
            answer = _asked(lambda: call(path, **options))
            if answer.status_code == 200:
                return answer.json()
        except (httpx.HTTPError, ValueError) as cause:
            raise JudgementError(f"{self._client.base_url} cannot be asked: {cause}.") from cause
        if answer.status_code == 401:
            raise JudgementError(f"{self._client.base_url} requires an API key: put it into {KEY_VARIABLE}.")
        raise JudgementError(
            f"{self._client.base_url} answers {path} with {answer.status_code}, {_detail(answer)}: "
            "give a gateway as http://HOST:PORT and a replica as http://HOST:PORT/v1/models/NAME."
        )


def opened(url: str, label_map: LabelMap | None = None, *, input_range: str = "0..1") -> Replica | Gateway:
    """The model that runs at an address.

    Raises:
        JudgementError: nothing answers there, or not as a gateway or a replica.
    """
    parts = urlsplit(url)
    if not parts.netloc or parts.scheme not in ("http", "https"):
        raise JudgementError(f"{url} is not an address: give it as http://HOST:PORT.")
    if parts.path.startswith("/v1/models/"):
        return Replica(url, label_map, input_range)
    return Gateway(url.rstrip("/"))


def check_gateway(url: str, *, transport: httpx.BaseTransport | None = None) -> None:
    """Check before long work that a gateway answers at an address.

    Raises:
        JudgementError: no gateway answers.
    """
    try:
        with _client(url, TIMEOUT_S, transport) as client:
            client.get("/v1/models").raise_for_status().json()["replicas"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as cause:
        raise JudgementError(f"No gateway answers at {url}: start it, or give another address. ({cause})") from cause


def await_version(url: str, version: int, *, within_s: float, transport: httpx.BaseTransport | None = None) -> None:
    """Wait until every replica behind a gateway serves a version.

    Raises:
        JudgementError: they did not in time; the message has the gateway's reason.
    """
    until, reason = time.monotonic() + within_s, "there was no answer"
    with _client(url, 5, transport) as client:
        while time.monotonic() < until:
            try:
                replicas = client.get("/v1/models").raise_for_status().json()["replicas"]
                if replicas and all(replica["serving"] == str(version) for replica in replicas):
                    return
                reason = "; ".join(f"{r['address']} serves {r['serving']} {r['reason']}".rstrip() for r in replicas)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                reason = str(error)
            time.sleep(PROBE_S)
    reason = reason or "it has no replica"
    raise JudgementError(f"{url} does not serve version {version} after {within_s:g} s: {reason}.")


def _client(url: str, timeout_s: float, transport: httpx.BaseTransport | None) -> httpx.Client:
    key = os.environ.get(KEY_VARIABLE, "")
    headers = {"X-API-Key": key} if key else {}
    return httpx.Client(
        base_url=url.rstrip("/"), timeout=timeout_s, transport=transport, headers=headers, trust_env=False
    )


def _asked(call: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer; a gateway that is full is called again after its `Retry-After`."""
    answer = call()
    for _ in range(BUSY_TRIES - 1):
        pause = answer.headers.get("Retry-After", "")
        if answer.status_code != 503 or not pause.isdigit():
            break
        time.sleep(min(int(pause), TIMEOUT_S))
        answer = call()
    return answer


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return "which is not an answer of a gateway"
