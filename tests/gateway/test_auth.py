"""API keys: which callers are served, which have to wait, and that no key leaves the gateway."""

import hashlib
import json
import socket
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from starlette.requests import Request

from gateway.auth import MAX_ADDRESSES, MAX_WRONG_KEYS, KeysError, WrongKeys, client_address, read_keys
from gateway.observe import logs
from gateway.settings import Settings
from tests.fakes import FakeReplica
from tests.gateway.conftest import Start
from tests.gateway.test_settings import run

KEY = "canary-key-3f7a"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"# callers\n\nshop:{digest(KEY)}\nlab-2:{digest('other')}\n")
    return file


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}])
async def test_a_caller_with_a_key_is_served_and_named_in_the_log(
    start: Start,
    replica: FakeReplica,
    jpeg: bytes,
    keys: Path,
    headers: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = await start(replica, api_keys_file=keys)
    logs.configure("json", "info")
    response = await client.post("/v1/classify", content=jpeg, headers=JPEG | headers)
    assert response.status_code == 200
    logged = capsys.readouterr().err
    assert json.loads(logged)["caller"] == "shop"
    assert KEY not in logged


@pytest.mark.parametrize("path", ["/v1/labels", "/v1/models", "/metrics", "/v1/models/my_model"])
async def test_without_a_key_nothing_is_shown(start: Start, replica: FakeReplica, keys: Path, path: str) -> None:
    client = await start(replica, api_keys_file=keys)
    response = await client.get(path)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert KEY not in response.text


async def test_an_upload_without_a_key_is_refused_before_it_is_read(
    start: Start, replica: FakeReplica, keys: Path
) -> None:
    client = await start(replica, api_keys_file=keys)

    async def body() -> object:
        pytest.fail("it was read")
        yield b""

    response = await client.post("/v1/classify", content=body(), headers=JPEG)  # type: ignore[arg-type]
    assert response.status_code == 401
    assert response.json()["type"] == "/problems/unauthorized"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/docs", "/openapi.json", "/problems/unauthorized"])
async def test_health_pages_and_documents_need_no_key(
    start: Start, replica: FakeReplica, keys: Path, path: str
) -> None:
    client = await start(replica, api_keys_file=keys)
    assert (await client.get(path)).status_code == 200


async def test_the_openapi_document_says_that_a_key_is_needed(start: Start, replica: FakeReplica, keys: Path) -> None:
    client = await start(replica, api_keys_file=keys)
    document = (await client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def test_after_ten_wrong_keys_more_guesses_wait_and_the_right_key_still_passes(
    start: Start, replica: FakeReplica, keys: Path
) -> None:
    client = await start(replica, api_keys_file=keys, trusted_proxies="127.0.0.1")
    guesses = [await client.get("/v1/labels", headers={"X-API-Key": f"guess {n}"}) for n in range(MAX_WRONG_KEYS + 1)]
    assert [guess.status_code for guess in guesses] == [401] * MAX_WRONG_KEYS + [429]
    refused = guesses[-1]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["type"] == "/problems/too-many-bad-keys"
    right = await client.get("/v1/labels", headers={"X-API-Key": KEY})
    assert right.status_code == 200
    elsewhere = await client.get("/v1/labels", headers={"X-API-Key": "guess", "X-Forwarded-For": "203.0.113.9"})
    assert elsewhere.status_code == 401


async def test_a_request_without_any_key_is_no_guess(start: Start, replica: FakeReplica, keys: Path) -> None:
    client = await start(replica, api_keys_file=keys)
    for _ in range(MAX_WRONG_KEYS + 1):
        assert (await client.get("/v1/labels")).status_code == 401
    assert (await client.get("/v1/labels", headers={"X-API-Key": KEY})).status_code == 200


def asked(peer: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.1", ["1.2.3.4"], "198.51.100.1"),  # not a trusted proxy: its header is ignored
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9, 1.2.3.4"], "1.2.3.4"),  # the client's own value comes first
        ("10.0.0.1", ["9.9.9.9, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["not an address"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", ["1.2.3.4"], ""),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: list[str], address: str) -> None:
    assert client_address(asked(peer, *forwarded), [ip_network("10.0.0.0/8")]) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("::ffff:198.51.100.1", [], "198.51.100.1"),
        ("::ffff:198.51.100.2", ["1.2.3.4"], "198.51.100.2"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4, ::ffff:10.0.0.2"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
    ],
)
@pytest.mark.parametrize("proxies", ["10.0.0.0/8", "::ffff:10.0.0.0/104"])
def test_on_a_dual_stack_socket_an_ipv4_client_is_that_ipv4_address(
    peer: str, forwarded: list[str], address: str, proxies: str
) -> None:
    trusted = Settings(upstream="a:1", trusted_proxies=proxies).trusted_proxies
    assert client_address(asked(peer, *forwarded), trusted) == address


def test_the_count_of_wrong_keys_starts_anew_after_a_minute_and_takes_bounded_memory() -> None:
    bad = WrongKeys()
    for second in range(MAX_WRONG_KEYS):
        bad.add("a", second)
    assert bad.wait_s("a", 10) == 50
    assert bad.wait_s("b", 10) == 0
    assert bad.wait_s("a", 60) == 0
    bad.add("a", 61)
    assert bad.wait_s("a", 61) == 0
    for number in range(MAX_ADDRESSES + 5):
        bad.add(f"address {number}", 70)
    assert len(bad._seen) == MAX_ADDRESSES


@pytest.mark.parametrize("text", ["", "# no\n", "shop:abc\n", f"shop {digest(KEY)}\n", f"two words:{digest(KEY)}\n"])
def test_a_file_that_holds_no_keys_is_a_mistake_in_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(KeysError, match=r"python -m gateway\.auth NAME"):
        read_keys(file)


def test_a_byte_order_mark_before_the_first_key_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"shop:{digest(KEY)}\n", encoding="utf-8-sig")
    assert list(read_keys(file).values()) == ["shop"]


@pytest.mark.parametrize("content", ["M\u00f6we:1\n".encode("latin-1"), "shop:1\n".encode("utf-16")])
def test_a_file_of_keys_that_is_not_utf_8_ends_the_start_with_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    ended = run("--upstream", "a:1", "--api-keys-file", str(file))
    assert ended.returncode == 1
    assert ended.stderr == f"GATEWAY_API_KEYS_FILE: {file} is not UTF-8 text; save it as UTF-8\n"


def test_a_key_can_be_made_and_fits_its_line(tmp_path: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "gateway.auth", "shop"], capture_output=True, text=True, check=True)
    key, line = (text.split(": ")[1] for text in made.stdout.splitlines())
    (tmp_path / "keys").write_text(line)
    assert read_keys(tmp_path / "keys") == {hashlib.sha256(key.encode()).digest(): "shop"}
    assert len(key) > 40


async def test_no_key_ever_shows(
    start: Start, replica: FakeReplica, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await start(replica, api_keys_file=keys)
    texts = [
        str((await client.get(path, headers={"X-API-Key": KEY})).text) for path in ("/metrics", "/v1/models", "/x")
    ]
    texts += [str((await client.get("/v1/labels", headers={"X-API-Key": "wrong-canary"})).text)]
    logged = capsys.readouterr().err
    for canary in (KEY, "wrong-canary", digest(KEY)):
        assert not [text for text in [*texts, logged] if canary in text]


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o444, False), (0o644, False), (0o664, True), (0o602, True)]
)
def test_a_keys_file_that_others_may_write_is_a_warning(keys: Path, mode: int, warned: bool) -> None:
    keys.chmod(mode)
    with socket.socket() as taken:  # the gateway ends after the warning, because it cannot listen
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run(GATEWAY_API_KEYS_FILE=str(keys), GATEWAY_UPSTREAM="a:1", GATEWAY_PORT=port)
    assert "cannot listen" in done.stderr
    assert ("others may write the keys file" in done.stderr) == warned
