"""Requests that a server could read as two, or as another one: each must be refused and its connection closed.

Where there is room for one, a second request follows: GET /v1/labels, which must never be carried out.
"""

SECOND = b"GET /v1/labels HTTP/1.1\r\nHost: a\r\n\r\n"
_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def _post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    head = b"\r\n".join([b"POST /v1/classify HTTP/" + version, b"Host: a", b"Content-Type: image/jpeg", *fields])
    return head + b"\r\n\r\n" + body + SECOND


def _get(line: bytes = b"GET /healthz HTTP/1.1", *fields: bytes, host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""]) + SECOND


_CHUNKED = b"Transfer-Encoding: chunked"
CORPUS: dict[str, bytes] = {
    # Two lengths
    "length and chunks": _post(b"Content-Length: 5", _CHUNKED, body=_CHUNKS),
    "chunks and length": _post(_CHUNKED, b"Content-Length: 5", body=_CHUNKS),
    "two lengths": _post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
    "the same length twice": _post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "a list of lengths": _post(b"Content-Length: 5, 5", body=b"hello"),
    "a negative length": _post(b"Content-Length: -1", body=b"hello"),
    "a length with a plus": _post(b"Content-Length: +5", body=b"hello"),
    "a length in hexadecimal": _post(b"Content-Length: 0x5", body=b"hello"),
    "a length with an exponent": _post(b"Content-Length: 5e0", body=b"hello"),
    "a length with a fraction": _post(b"Content-Length: 5.0", body=b"hello"),
    "a length with a blank inside": _post(b"Content-Length: 1 0", body=b"hello"),
    "an empty length": _post(b"Content-Length:", body=b"hello"),
    "a word for a length": _post(b"Content-Length: five", body=b"hello"),
    "a length of 100 digits": _post(b"Content-Length: " + b"9" * 100, body=b"hello"),
    "a length beyond 64 bits": _post(b"Content-Length: 18446744073709551621", body=b"hello"),
    "a length with an underscore": _post(b"Content-Length: 1_0", body=b"hello"),
    "a length in other digits": _post(b"Content-Length: \xd9\xa5", body=b"hello"),
    # Codings
    "chunks in HTTP/1.0": _post(_CHUNKED, body=_CHUNKS, version=b"1.0"),
    "an unknown coding": _post(b"Transfer-Encoding: xchunked", body=_CHUNKS),
    "identity": _post(b"Transfer-Encoding: identity", body=b"hello"),
    "identity and a length": _post(b"Transfer-Encoding: identity", b"Content-Length: 5", body=b"hello"),
    "gzip before chunks": _post(b"Transfer-Encoding: gzip, chunked", body=_CHUNKS),
    "chunks before gzip": _post(b"Transfer-Encoding: chunked, gzip", body=_CHUNKS),
    "chunks twice": _post(b"Transfer-Encoding: chunked, chunked", body=_CHUNKS),
    "chunks in two fields": _post(_CHUNKED, _CHUNKED, body=_CHUNKS),
    "chunks and identity in two fields": _post(_CHUNKED, b"Transfer-Encoding: identity", body=_CHUNKS),
    "an empty coding": _post(b"Transfer-Encoding:", body=_CHUNKS),
    "a quoted coding": _post(b'Transfer-Encoding: "chunked"', body=_CHUNKS),
    "a coding after a vertical tab": _post(b"Transfer-Encoding: \x0bchunked", body=_CHUNKS),
    "a coding with a parameter": _post(b"Transfer-Encoding: chunked;q=1", body=_CHUNKS),
    "a blank before the colon": _post(b"Transfer-Encoding : chunked", body=_CHUNKS),
    "a tab before the colon": _post(b"Content-Length\t: 5", body=b"hello"),
    "a length folded over lines": _post(b"Content-Length:\r\n 5", body=b"hello"),
    "a coding folded over lines": _post(b"Transfer-Encoding:\r\n chunked", body=_CHUNKS),
    # Chunks
    "a chunk size that is none": _post(_CHUNKED, body=b"zz\r\nhello\r\n0\r\n\r\n"),
    "a negative chunk size": _post(_CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with 0x": _post(_CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size beyond 64 bits": _post(_CHUNKED, body=b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "a chunk size after a blank": _post(_CHUNKED, body=b" 5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size before a blank": _post(_CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than its size": _post(_CHUNKED, body=b"3\r\nhello\r\n0\r\n\r\n"),
    "a chunk size that ends in LF": _post(_CHUNKED, body=b"5\nhello\r\n0\r\n\r\n"),
    "a chunk that ends in LF": _post(_CHUNKED, body=b"5\r\nhello\n0\r\n\r\n"),
    "a chunk size that ends in CR": _post(_CHUNKED, body=b"5\rhello\r\n0\r\n\r\n"),
    "an extension that ends in LF": _post(_CHUNKED, body=b"5;a=b\nhello\r\n0\r\n\r\n"),
    "an empty chunk size": _post(_CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n"),
    # Lines
    "lines that end in LF": b"GET /healthz HTTP/1.1\nHost: a\n\n" + SECOND,
    "one line that ends in LF": b"GET /healthz HTTP/1.1\r\nHost: a\nX: b\r\n\r\n" + SECOND,
    "lines that end in CR": b"GET /healthz HTTP/1.1\rHost: a\r\r" + SECOND,
    "a bare CR in a field": _get(b"GET /healthz HTTP/1.1", b"X: a\rY: b"),
    "a NUL in a field": _get(b"GET /healthz HTTP/1.1", b"X: a\0b"),
    "a NUL in a name": _get(b"GET /healthz HTTP/1.1", b"X\0: a"),
    "a blank in a name": _get(b"GET /healthz HTTP/1.1", b"X Y: a"),
    "a field without a colon": _get(b"GET /healthz HTTP/1.1", b"nothing"),
    "a field without a name": _get(b"GET /healthz HTTP/1.1", b": a"),
    "a blank before the first field": b"GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n" + SECOND,
    "a folded field": _get(b"GET /healthz HTTP/1.1", b"X: a\r\n b"),
    # Host
    "no host": _get(host=b""),
    "two hosts": _get(b"GET /healthz HTTP/1.1", b"Host: b"),
    "an empty host": _get(host=b"Host:"),
    "a host with a path": _get(host=b"Host: a/b"),
    "a host with a user": _get(host=b"Host: a@b"),
    "a host with a blank": _get(host=b"Host: a b"),
    # The first line
    "HTTP/0.9": b"GET /healthz\r\n\r\n" + SECOND,
    "HTTP/2.0": _get(b"GET /healthz HTTP/2.0"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND,
    "HTTP/1.2": _get(b"GET /healthz HTTP/1.2"),
    "HTTP/1.10": _get(b"GET /healthz HTTP/1.10"),
    "HTTP in small letters": _get(b"GET /healthz http/1.1"),
    "another protocol": _get(b"GET /healthz ICE/1.1"),
    "a method in small letters": _get(b"get /healthz HTTP/1.1"),
    "a method that is none": _get(b"G@T /healthz HTTP/1.1"),
    "a method of 10,000 letters": _get(b"G" * 10_000 + b" /healthz HTTP/1.1"),
    "a tab for a blank": _get(b"GET\t/healthz\tHTTP/1.1"),
    "a blank in the address": _get(b"GET /health z HTTP/1.1"),
    "a NUL in the address": _get(b"GET /healthz\0 HTTP/1.1"),
    "an address without a slash": _get(b"GET healthz HTTP/1.1"),
    "no address": _get(b"GET HTTP/1.1"),
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + SECOND,
    "the hello of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + SECOND,
    "random bytes": bytes(range(128, 256)) + SECOND,
}
