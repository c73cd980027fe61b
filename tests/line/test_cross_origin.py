"""Pages of other origins in a real browser: one that is listed, and one that is not."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests import pictures
from tests.faults.gateway import Gateway, running_gateway
from tests.faults.replica import running_replica
from tests.line.test_pages import browser

pytestmark = [pytest.mark.slow, pytest.mark.browser]

__all__ = ["browser"]  # the fixture

UPLOAD = """async ([url, bytes, method, asForm, headers]) => {
    const blob = new Blob([new Uint8Array(bytes)], asForm ? { type: "image/jpeg" } : {});
    const form = new FormData();
    form.append("image", blob, "a.jpg");
    try {
        const answer = await fetch(url, { method, headers, body: asForm ? form : blob });
        return { status: answer.status, id: answer.headers.get("X-Request-ID"), ...(await answer.json()) };
    } catch (failure) {
        return { failed: String(failure) };
    }
}"""
ADDED = {
    "X-Requested-With": "XMLHttpRequest",
    "Cache-Control": "no-cache",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "sentry-trace": "771a43a4192642f0b136d5159a501700-7a5a9b1f3c1d2e4f-1",
    "baggage": "sentry-environment=production,sentry-release=shop%401.0",
}
"""Fields that upload widgets and tracing add."""


class Empty(http.server.BaseHTTPRequestHandler):
    """An empty page at every address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the tests read the gateway's log."""


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """Port of another site. By the names localhost and 127.0.0.1 it is two origins."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def gateway(site: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Its operator wrote the origin with a slash at the end."""
    log, listed = tmp_path_factory.mktemp("cross-origin") / "log", f"http://localhost:{site}/"
    with running_replica() as replica, running_gateway(replica.address, log, cors_origins=listed) as gateway:
        yield gateway


Upload = Any


@pytest.fixture
def upload(browser: Page, gateway: Gateway) -> Upload:
    """Called with the origin of a page: what its script gets for a picture."""

    def uploaded(origin: str, headers: dict[str, str], *, method: str = "POST", as_form: bool = True) -> dict[str, Any]:
        browser.goto(f"{origin}/")
        url = f"http://127.0.0.1:{gateway.port}/v1/classify"
        answer: dict[str, Any] = browser.evaluate(UPLOAD, [url, list(pictures.jpeg()), method, as_form, headers])
        return answer

    return uploaded


@pytest.mark.parametrize("headers", [{}, ADDED], ids=["plain", "with fields added"])
@pytest.mark.parametrize(("method", "as_form"), [("POST", True), ("POST", False), ("PUT", False)])
def test_a_page_of_a_listed_origin_gets_its_answer(
    upload: Upload, site: int, headers: dict[str, str], method: str, as_form: bool
) -> None:
    answer = upload(f"http://localhost:{site}", headers, method=method, as_form=as_form)
    assert (answer["status"], answer["predictions"][0]["label"]) == (200, "crab")
    assert answer["id"] == answer["request_id"]


def test_a_page_of_a_listed_origin_can_read_a_refusal(upload: Upload, site: int) -> None:
    answer = upload(f"http://localhost:{site}", ADDED | {"Content-Type": "text/plain"}, as_form=False)
    assert (answer["status"], answer["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize(("headers", "asked_first"), [({}, False), (ADDED, True)], ids=["plain", "with fields added"])
def test_a_page_that_is_not_listed_fails_and_the_log_names_it(
    upload: Upload, gateway: Gateway, site: int, headers: dict[str, str], asked_first: bool
) -> None:
    origin = f"http://127.0.0.1:{site}"
    refused = 'gateway_cross_origin_refused_total{reason="origin"}'
    before = gateway.metric(refused)
    assert "Failed to fetch" in upload(origin, headers)["failed"]
    assert gateway.metric(refused) == before + 1
    (line,) = [line for line in gateway.lines() if line["event"] == "cross-origin request refused"]
    assert (line["origin"], line["reason"], line["level"]) == (origin, "origin", "warning")
    assert asked_first == any(line.get("problem") == "cross-origin-refused" for line in gateway.lines())


def test_a_page_that_is_listed_may_not_report_another_address(upload: Upload, gateway: Gateway, site: int) -> None:
    assert "Failed to fetch" in upload(f"http://localhost:{site}", {"X-Forwarded-For": "192.0.2.1"})["failed"]
    told = [line["reason"] for line in gateway.lines() if line["event"] == "cross-origin request refused"]
    assert "header x-forwarded-for" in told
