from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.standin import limits
from serving.standin.http.message import Await, HttpError, Request, RequestReader, Response, html_error, write_head


def read(data: bytes) -> list[Request | Await]:
    """Requests up to the first that is not complete."""
    reader = RequestReader()
    reader.feed(data)
    found = [reader.next_request()]
    while isinstance(found[-1], Request):
        found.append(reader.next_request())
    return found


def read_one(data: bytes) -> Request:
    request = read(data)[0]
    assert isinstance(request, Request)
    return request


def refusal(data: bytes) -> int:
    with pytest.raises(HttpError) as caught:
        read(data)
    return caught.value.status


def test_requests_come_one_after_the_other() -> None:
    first, second, rest = read(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nxyGET /b HTTP/1.0\r\n\r\nGE")
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert (first.method, first.target, first.body, second.target, second.version) == (
        "POST",
        "/a",
        b"xy",
        "/b",
        (1, 0),
    )
    assert rest is Await.BYTES


@given(st.lists(st.integers(1, 5)))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts: list[int]) -> None:
    data = (
        b"POST /a HTTP/1.1\r\nA: 1\r\n\r\n".replace(b"A: 1", b"Transfer-Encoding: chunked")
        + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    reader, answers, at = RequestReader(), [], 0
    for cut in [*cuts, len(data)]:
        reader.feed(data[at : at + cut])
        at += cut
        answers.append(reader.next_request())
    [request] = [answer for answer in answers if isinstance(answer, Request)]
    assert request.body == b"abcde"


def test_lines_may_end_in_a_line_feed_alone_and_headers_be_folded() -> None:
    request = read_one(b"GET / HTTP/1.1\nA: 1\n  2\nB:  x \n\n")
    assert request.headers == {"a": "1  2", "b": "x"}


def test_of_repeated_headers_the_first_counts() -> None:
    assert read_one(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\nx").body == b"x"


def test_chunks_win_over_a_length() -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: Chunked\r\n\r\n"
    assert read_one(head + b"4\r\nabcd\r\n0\r\nTrailer: 1\r\n\r\n").body == b"abcd"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"asdf\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 400),
        (b"GET / HTTP/1.1\r\nbroken\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\n", 413),
        (b"A" * (2 << 20), 400),
        (b"GET / HTTP/1.1\r\n" + b"A: 1\r\n" * 300_000, 400),
    ],
)
def test_what_is_no_http_is_refused(data: bytes, status: int) -> None:
    assert refusal(data) == status


def test_a_client_may_ask_before_it_sends_a_body() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert read(head) == [Await.PERMISSION]
    assert read_one(head + b"xy").body == b"xy"


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ((1, 1), "", True),
        ((1, 1), "Close", False),
        ((1, 0), "", False),
        ((1, 0), "Keep-Alive", True),
        ((0, 9), "", False),
    ],
)
def test_connections_are_kept_as_the_version_has_it(version: tuple[int, int], connection: str, kept: bool) -> None:
    assert Request("GET", "/", version, {"connection": connection} if connection else {}).keeps_open is kept


def test_an_answer_says_when_the_connection_closes() -> None:
    head = write_head(Response(504, b"{}"), (1, 1), keeps_open=False).decode().split("\r\n")
    assert head[:2] == ["HTTP/1.1 504 Gateway Time-out", "Content-Type: application/json"]
    assert head[3:] == ["Content-Length: 2", "Connection: close", "", ""]


def test_errors_below_the_api_are_pages() -> None:
    assert html_error(404).body.startswith(b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>")


@given(st.lists(st.binary() | st.sampled_from([b"GET / HTTP/1.1\r\n", b"Content-Length: 3\r\n", b"\r\n", b"abc"])))
def test_no_bytes_cause_anything_but_a_refusal(pieces: list[bytes]) -> None:
    with suppress(HttpError):
        read(b"".join(pieces))


def test_a_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    assert refusal(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (limits.BODY_BYTES + 1)) == 413
    assert refusal(CHUNKED + b"%x\r\n" % (limits.BODY_BYTES + 1)) == 413
    assert read(CHUNKED + b"1\r\na\r\n%x\r\n" % (limits.BODY_BYTES - 1)) == [Await.BYTES]
    assert refusal(CHUNKED + b"1\r\na\r\n%x\r\n" % limits.BODY_BYTES) == 413


def test_a_body_may_have_a_limited_number_of_chunks() -> None:
    assert len(read_one(CHUNKED + b"1\r\na\r\n" * limits.CHUNKS + b"0\r\n\r\n").body) == limits.CHUNKS
    assert refusal(CHUNKED + b"1\r\na\r\n" * (limits.CHUNKS + 1)) == 413
    assert refusal(CHUNKED + b"\r\n" * 9) == 413


CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
