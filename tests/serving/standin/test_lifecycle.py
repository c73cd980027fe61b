"""Versions appear, disappear and fail while a real process serves requests."""

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.recorded import Conversation, ask
from tests.serving.graphs import write_saved_model
from tests.serving.servers import PATIENCE_S, Server, running, start, wait_until

pytestmark = pytest.mark.slow

RETRY_AT_ONCE = ("--max_num_load_retries=1000", "--load_retry_interval_micros=100000")
ANSWER = {1: 1.5, 2: 2.5, 3: 3.5}
"""Version -> its prediction for 1.0."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base path that holds version 1."""
    write_saved_model(tmp_path / "m/1", add=1)
    return tmp_path / "m"


@contextmanager
def serving(models: Path, *flags: str) -> Iterator[Server]:
    with running(models.parent, "--model_name=m", f"--model_base_path={models}", *flags) as server:
        yield server


def publish(models: Path, version: int) -> None:
    """Write the version aside, then rename it, so that no half-written version is seen."""
    write_saved_model(models / "new", add=version).rename(models / str(version))


def answer(server: Server, version: str = "") -> float | str:
    """The prediction for 1.0, or the error text."""
    status, body = server.predict({"instances": [1.0]}, version=version)
    result: float | str = body["predictions"][0] if status == 200 else body["error"]
    return result


@contextmanager
def load_on(server: Server) -> Iterator[list[float | str]]:
    """Run two clients that send requests without a pause; yields the list to which they append the answers."""
    answers: list[float | str] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            answers.append(answer(server))

    clients = [threading.Thread(target=keep_asking) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield answers
    finally:
        over.set()
        for client in clients:
            client.join(PATIENCE_S)


def test_a_new_version_takes_over_without_a_failed_request(models: Path) -> None:
    with serving(models) as server:
        with load_on(server) as answers:
            wait_until(lambda: len(answers) > 10)
            publish(models, 2)
            wait_until(lambda: server.states() == {2: "AVAILABLE", 1: "END"})
            publish(models, 3)
            wait_until(lambda: server.states() == {3: "AVAILABLE", 2: "END", 1: "END"})
            before = len(answers)
            wait_until(lambda: len(answers) > before + 10)
        assert set(answers) == set(ANSWER.values())
        assert answers[-1] == ANSWER[3]


def test_a_version_that_is_taken_away_is_replaced_by_the_next_best_and_at_last_by_none(models: Path) -> None:
    publish(models, 2)
    with serving(models) as server:
        assert answer(server) == ANSWER[2]
        shutil.rmtree(models / "2")
        wait_until(lambda: server.states() == {2: "END", 1: "AVAILABLE"})
        assert answer(server) == ANSWER[1]
        assert answer(server, "/versions/2") == "Servable not found for request: Specific(m, 2)"
        shutil.rmtree(models / "1")
        wait_until(lambda: server.states() == {2: "END", 1: "END"})
        assert answer(server) == "Servable not found for request: Latest(m)"


def test_a_broken_version_ends_with_its_error_and_the_old_one_goes_on(models: Path) -> None:
    with serving(models, "--max_num_load_retries=0") as server, load_on(server) as answers:
        (models / "2").mkdir()
        (models / "2/saved_model.pb").write_bytes(b"this is no protocol buffer")
        wait_until(lambda: server.states() == {2: "END", 1: "AVAILABLE"})
        _, status = server.get("/v1/models/m/versions/2")
        assert status["model_version_status"][0]["status"]["error_code"] != "OK"
        publish(models, 3)
        wait_until(lambda: server.states().get(3) == "AVAILABLE")
        wait_until(lambda: answers[-1] == ANSWER[3])
        assert set(answers) == {ANSWER[1], ANSWER[3]}


def test_a_version_copied_in_slowly_is_tried_again_until_it_is_whole(models: Path, tmp_path: Path) -> None:
    whole = (write_saved_model(tmp_path / "aside", add=2) / "saved_model.pb").read_bytes()
    with serving(models, *RETRY_AT_ONCE) as server:
        (models / "2").mkdir()
        (models / "2/saved_model.pb").write_bytes(whole[: len(whole) // 2])
        wait_until(lambda: "Loading m version 2 failed" in server.log.read_text())
        assert server.states() == {2: "LOADING", 1: "AVAILABLE"}
        (models / "2/saved_model.pb").write_bytes(whole)
        wait_until(lambda: server.states() == {2: "AVAILABLE", 1: "END"})


def test_requests_under_way_are_finished_after_sigterm(models: Path) -> None:
    with serving(models) as server, Conversation(server.port) as conversation:
        begin_slow_request(conversation)
        server.process.send_signal(signal.SIGTERM)
        assert conversation.answer().status == 200
        assert server.process.wait(PATIENCE_S) == 0


def begin_slow_request(conversation: Conversation, size: int = 1500) -> None:
    """Return when the server works on it: it was sent together with a request that has its response."""
    body = b'{"signature_name": "slow", "inputs": [%d]}' % size
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    conversation.socket.sendall(b"GET /v1/models/m HTTP/1.1\r\n\r\n" + head + body)
    assert conversation.answer().status == 200


def test_status_is_answered_while_every_worker_is_busy(models: Path) -> None:
    with serving(models, "--rest_api_num_threads=1") as server, Conversation(server.port) as conversation:
        begin_slow_request(conversation, size=4000)
        assert server.states() == {1: "AVAILABLE"}
        conversation.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            conversation.socket.recv(1)


def test_a_run_beyond_the_time_allowed_is_given_up(models: Path) -> None:
    with serving(models, "--rest_api_timeout_in_ms=1") as server:
        status, body = server.predict({"signature_name": "slow", "inputs": [1000]})
        assert (status, body) == (504, {"error": "Timed out waiting for notification"})


def test_the_port_opens_only_when_the_model_can_be_asked(models: Path, tmp_path: Path) -> None:
    (models / "1").rename(tmp_path / "aside")
    server = start(tmp_path, "--model_name=m", f"--model_base_path={models}")
    try:
        wait_until(lambda: "Could not find versions" in server.log.read_text())
        with pytest.raises(ConnectionRefusedError):
            Conversation(server.port)
        (tmp_path / "aside").rename(models / "1")
        wait_until(lambda: "Exporting HTTP/REST API" in server.log.read_text())
        assert answer(server) == ANSWER[1]
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ((), "m did not become available"),
        (("--model_config_file=/nowhere",), "/nowhere"),
        (("--rest_api_port=no",), "Couldn't interpret value no"),
    ],
)
def test_a_server_that_cannot_start_says_why_and_ends(models: Path, flags: tuple[str, ...], reason: str) -> None:
    (models / "1/saved_model.pb").write_bytes(b"broken")
    base = ("--model_name=m", f"--model_base_path={models}", "--max_num_load_retries=0")
    server = start(models.parent, *base, *flags)
    assert server.process.wait(PATIENCE_S) == 255
    assert reason in server.log.read_text()


def test_a_port_in_use_ends_the_start(models: Path) -> None:
    with serving(models) as server:
        other = models.parent / "other"
        other.mkdir()
        second = start(other, f"--model_base_path={models}", port=server.port)
        assert second.process.wait(PATIENCE_S) == 255
        assert f"port {server.port} cannot be used" in second.log.read_text()


def test_a_configuration_read_again_adds_models_and_moves_labels_only_to_what_is_loaded(models: Path) -> None:
    publish(models, 2)
    file = models.parent / "models.config"

    def configure(stable: int, *, policy: str = "all {}") -> None:
        label = f'version_labels {{ key: "stable" value: {stable} }}'
        model = f'name: "m" base_path: "{models}" model_version_policy {{ {policy} }} {label}'
        file.with_suffix(".new").write_text(f"model_config_list {{ config {{ {model} }} }}")
        file.with_suffix(".new").replace(file)

    configure(1)
    flags = (f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1")
    with running(models.parent, *flags, "--allow_version_labels_for_unavailable_models") as server:
        wait_until(lambda: server.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        assert answer(server, "/labels/stable") == ANSWER[1]
        configure(2)
        wait_until(lambda: answer(server, "/labels/stable") == ANSWER[2])
        configure(7)
        wait_until(lambda: "The configuration stays as it was" in server.log.read_text())
        assert answer(server, "/labels/stable") == ANSWER[2]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fuzz")
    write_saved_model(folder / "m/1", add=1)
    with serving(folder / "m", "--rest_api_timeout_in_ms=5000") as server:
        yield server


PIECES = st.sampled_from(
    [
        '{"instances":',
        '{"inputs":',
        '"signature_name":"echo",',
        "[",
        "]",
        "{",
        "}",
        ",",
        "1",
        '"a"',
        "NaN",
        '{"b64":"QQ"}',
        ":",
        '"x"',
        "-1e5",
    ]
).map(str.encode)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES | st.binary(max_size=5), max_size=12).map(b"".join))
def test_no_body_makes_the_server_fail(fuzzed: Server, body: bytes) -> None:
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert ask(fuzzed.port, head + body).status in (200, 400, 501)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"inputs":' * 100_000, b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
)
def test_no_depth_makes_the_server_fail(fuzzed: Server, body: bytes) -> None:
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert ask(fuzzed.port, head + body).status == 400
    assert answer(fuzzed) == ANSWER[1]
