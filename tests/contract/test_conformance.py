"""The stand-in gives the recorded answers of the real server.

All of `core.jsonl` is replayed. Of `wire.jsonl`, which a stand-in need not copy, everything is except `DIFFERENT`.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.recorded import Conversation, Pair, ask, configuration, differences, read_pairs, request_bytes
from tests.serving.servers import Server, running, wait_until

pytestmark = pytest.mark.slow

DIFFERENT = {
    "batching__": "requests are not batched",
    "conn__connect": "the real server never answers CONNECT; the stand-in answers 501",
    "conn__idle_": "neither server closes idle connections, and a recording of two minutes proves no more",
    "conn__long_length": "the body never ends: both servers wait, so there is nothing to compare",
    "conn__tls_hello": "not a line of HTTP: both servers wait, so there is nothing to compare",
    "states__emptydir_then_new_model_added": "in the stand-in, a model without versions does not delay others",
    "states__missingdir_then_new_model_added": "in the stand-in, a model without a folder does not delay others",
}
"""Beginning of a name in wire.jsonl -> why such pairs are not replayed."""


def recorded(file: str, *groups: str) -> list[Any]:
    """The pairs whose names begin with one of `groups`, without the different ones; one parameter each."""
    pairs = [pair for pair in read_pairs(file) if pair["name"].startswith(groups)]
    return [pytest.param(pair, id=pair["name"]) for pair in pairs if not pair["name"].startswith(tuple(DIFFERENT))]


def answered(file: str, *groups: str) -> list[Any]:
    """The pairs of `recorded` that have one request and one answer."""
    return [param for param in recorded(file, *groups) if param.values[0].get("response")]


def model(name: str, base_path: Path) -> str:
    return f'  config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" }}\n'


@pytest.fixture(scope="module")
def strict_server(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With CORS and a timeout of 200 ms, as the groups `cors__` and `timeout__` were recorded."""
    more = ["--rest_api_enable_cors_support=true", "--rest_api_timeout_in_ms=200"]
    with running(tmp_path_factory.mktemp("strict"), *flags, *more) as started:
        yield started


def check(server: Server, pair: Pair) -> None:
    assert not list(differences(pair["response"], ask(server.port, request_bytes(pair["request"]))))


@pytest.mark.parametrize("pair", answered("core.jsonl", ""))
def test_core_is_answered_as_by_the_real_server(server: Server, pair: Pair) -> None:
    check(server, pair)


@pytest.mark.parametrize("pair", answered("wire.jsonl", "classify_regress__", "conn__", "monitoring__"))
def test_wire_is_answered_as_by_the_real_server(server: Server, pair: Pair) -> None:
    check(server, pair)


@pytest.mark.parametrize("pair", answered("wire.jsonl", "cors__", "timeout__"))
def test_flags_change_answers_as_in_the_real_server(strict_server: Server, pair: Pair) -> None:
    check(strict_server, pair)


@pytest.mark.parametrize("pair", answered("wire.jsonl", "cors__"))
def test_cors_headers_are_those_of_the_real_server(strict_server: Server, pair: Pair) -> None:
    ours = ask(strict_server.port, request_bytes(pair["request"])).headers
    theirs = {name.lower(): value for name, value in pair["response"]["headers"]}
    names = {name for name in ours | theirs if name.startswith("access-control-")}
    assert {name: ours.get(name) for name in names} == {name: theirs.get(name) for name in names}


@pytest.mark.parametrize("pair", answered("wire.jsonl", "conn__"))
def test_connections_are_kept_or_closed_as_by_the_real_server(server: Server, pair: Pair) -> None:
    with Conversation(server.port) as conversation:
        conversation.socket.sendall(request_bytes(pair["request"]))
        if "halfclose" in pair["name"]:
            conversation.socket.shutdown(socket.SHUT_WR)
        conversation.answer()
        if pair["connection_after"] == "closed":
            assert conversation.socket.recv(1) == b""
        else:
            conversation.socket.sendall(b"GET /v1/models/half_plus_two HTTP/1.1\r\n\r\n")
            conversation.answer()  # any answer: the rest of a body that was announced too short spoils this request


@pytest.mark.parametrize("name", ["conn__pipelined", "conn__expect_continue"])
def test_pipelined_requests_are_answered_in_order(server: Server, name: str) -> None:
    [pair] = (param.values[0] for param in recorded("wire.jsonl", name) if param.id == name)
    with Conversation(server.port) as conversation:
        conversation.socket.sendall(request_bytes(pair["request"]))
        for expected in pair["responses"]:
            assert not list(differences(expected, conversation.answer()))


def test_requests_sent_before_the_client_closed_its_side_are_all_answered(server: Server) -> None:
    with Conversation(server.port) as conversation:
        conversation.socket.sendall(b"GET /v1/models/toy HTTP/1.1\r\n\r\n" * 3)
        conversation.socket.shutdown(socket.SHUT_WR)
        assert [conversation.answer().status for _ in range(3)] == [200, 200, 200]
        assert conversation.socket.recv(1) == b""


def test_a_client_that_expects_100_continue_receives_it(server: Server) -> None:
    [pair] = (param.values[0] for param in recorded("wire.jsonl", "conn__expect_continue_wait"))
    head, interim, body, _ = (step.get("sent") or step.get("recv") for step in pair["steps"])
    with Conversation(server.port) as conversation:
        conversation.socket.sendall(head.encode())
        assert conversation.take_head() == interim.encode().strip()
        conversation.socket.sendall(body.encode())
        assert conversation.answer().status == 200


def test_metrics_are_served_only_where_they_are_enabled(tmp_path: Path, models: Path) -> None:
    [pair] = (param.values[0] for param in recorded("wire.jsonl", "nomonitoring__"))
    (tmp_path / "models.config").write_text(f"model_config_list {{ {model('m', models / 'half_plus_two')} }}")
    with running(tmp_path, f"--model_config_file={tmp_path / 'models.config'}") as unmonitored:
        check(unmonitored, pair)


class States:
    """A server that reads its configuration again every second, and the pairs recorded in one state of a model."""

    def __init__(self, server: Server, config_file: Path, models: Path) -> None:
        self.models = models
        self._server = server
        self._config_file = config_file

    def configure(self, *more: str) -> None:
        beside = self._config_file.with_suffix(".new")
        beside.write_text(configuration(self.models, *more))
        beside.replace(self._config_file)

    def reach(self, name: str, state: str) -> None:
        wait_until(lambda: self._server.states(name).get(1) == state)

    def available(self, name: str) -> bool:
        return "AVAILABLE" in self._server.states(name).values()

    def check(self, group: str) -> None:
        for param in answered("wire.jsonl", group):
            check(self._server, param.values[0])


@pytest.fixture(scope="module")
def states(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    folder = tmp_path_factory.mktemp("states")
    (folder / "models.config").write_text(configuration(models))
    flags = ["--allow_version_labels_for_unavailable_models=true", "--model_config_file_poll_wait_seconds=1"]
    with running(
        folder, f"--model_config_file={folder / 'models.config'}", *flags, "--max_num_load_retries=0"
    ) as started:
        yield States(started, folder / "models.config", models)


def test_a_model_is_seen_loading_then_served_then_gone(states: States) -> None:
    states.configure(model("slowload", states.models / "slowload"))
    states.reach("slowload", "LOADING")
    states.check("states__loading_")
    states.reach("slowload", "AVAILABLE")
    states.check("states__loaded_")
    states.configure()
    states.reach("slowload", "END")
    states.check("states__unloaded_")


def test_a_broken_model_reports_its_error_and_does_not_affect_others(states: States) -> None:
    states.configure(model("broken", states.models / "broken"))
    states.reach("broken", "END")
    for group in ("metadata", "other_model", "predict", "status"):
        states.check(f"states__broken_{group}")


@pytest.mark.parametrize("name", ["emptydir", "missingdir"])
def test_a_model_without_versions_does_not_affect_others(states: States, name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    if name == "emptydir":
        folder.mkdir()
    states.configure(model(name, folder))
    states.check(f"states__{name}_")
    states.configure(model("late", states.models / "lin"))
    wait_until(lambda: states.available("late"))
