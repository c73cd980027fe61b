"""Heads that are too large, framing that is ambiguous: refused, closed, and nothing of it carried out."""

import contextlib

import pytest

from tests.faults.gateway import Gateway, answers, everything
from tests.faults.record import record
from tests.faults.smuggling import CORPUS, SECOND

pytestmark = pytest.mark.faults


def test_no_ambiguous_request_is_carried_out(gateway: Gateway) -> None:
    before = gateway.metric('gateway_requests_total{route="/v1/labels",status="200"}')
    taken = {}
    for name, request in CORPUS.items():
        taken[name] = [(each.status, each.problem, each.headers["connection"]) for each in gateway.say(request)]
    wrong = {name: seen for name, seen in taken.items() if seen != [(400, "malformed-request", "close")]}
    assert wrong == {}
    assert len(CORPUS) >= 60
    assert gateway.metric('gateway_requests_total{route="/v1/labels",status="200"}') == before
    record("44", f"{len(CORPUS)} requests: all 400 and closed, 0 second requests carried out")


HEADS = {
    "one field of 64 MiB": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ", b"a" * 65536, 1024, 431),
    "200,000 fields": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"a: b\r\n" * 10_000, 20, 431),
    "65 fields": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 64 + b"\r\n", b"", 0, 431),
    "a field of 17 KiB in one packet": (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 17 * 1024 + b"\r\n\r\n",
        b"",
        0,
        431,
    ),
    "an address of a megabyte": (b"GET /", b"a" * 65536, 16, 414),
    "empty lines for ever": (b"\r\n" * 8, b"\r\n" * 32768, 16, 431),
}


def test_a_head_that_is_too_large_is_refused_after_a_bounded_read(gateway: Gateway) -> None:
    sent = {}
    cpu = gateway.line.cpu().gateway_s
    for name, (begin, more, times, status) in HEADS.items():
        with gateway.connect() as connection:
            pushed = 0
            with contextlib.suppress(ConnectionError):
                connection.sendall(begin)
                for _ in range(times):
                    connection.sendall(more)
                    pushed += len(more)
            (answer,) = answers(everything(connection))
        assert (answer.status, answer.headers["connection"]) == (status, "close"), name
        assert answer.problem == {431: "head-too-large", 414: "url-too-long"}[status]
        sent[name] = pushed
    cpu = gateway.line.cpu().gateway_s - cpu
    assert cpu < 1
    assert max(sent.values()) < 16 * 2**20  # what the sockets hold; the gateway has read 256 KiB of it at most
    assert gateway.rss_mib() < 150
    record("43", f"{len(HEADS)} heads: 431 or 414 and closed; {cpu / len(HEADS) * 1000:.0f} ms of CPU each")


def test_requests_on_one_connection_are_answered_in_turn_and_are_no_more_than_a_few(gateway: Gateway) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    found = gateway.say(one * 10 + b"nonsense\r\n\r\n")
    assert [answer.status for answer in found] == [200] * 10 + [400]
    found = gateway.say(one * 5000)
    assert {answer.status for answer in found[:-1]} == {200}
    assert found[-1].status == 400
    assert len(found) < 100


def test_a_request_that_offers_another_protocol_is_answered_in_this_one(gateway: Gateway) -> None:
    offer = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    found = gateway.say(offer + SECOND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert [answer.status for answer in found] == [200, 200]
