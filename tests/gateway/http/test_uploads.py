"""The body of an upload: what is read, what is refused, and with which message."""

import base64
import io
import itertools
import json
from collections.abc import Callable

import httpx
import pytest
from PIL import Image

from gateway.observe import logs
from tests.fakes import FakeReplica
from tests.gateway.conftest import Start

BOUNDARY = {"Content-Type": "multipart/form-data; boundary=X"}


def part(content: bytes, disposition: str = 'form-data; name="image"; filename="a.jpg"') -> bytes:
    return b"--X\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--X--\r\n"


async def refusal(client: httpx.AsyncClient, body: bytes, **headers: str) -> tuple[int, str]:
    response = await client.post("/v1/classify", content=body, headers=headers or BOUNDARY)
    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    return response.status_code, problem["type"].removeprefix("/problems/")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (part(b"x") + part(b"x") + END, (400, "duplicate-field")),
        (part(b"x"), (400, "invalid-multipart")),  # cut before the closing boundary
        (part(b"x")[:-3], (400, "invalid-multipart")),
        (b"", (400, "invalid-multipart")),
        (b"no form at all", (400, "invalid-multipart")),
        (END, (400, "missing-image")),
        (part(b"x", 'form-data; name="photo"; filename="a.jpg"') + END, (400, "unknown-field")),
        (part(b"x") + part(b"5", 'form-data; name="top_k"') + END, (400, "unknown-field")),
        (part(b"x", 'form-data; name="image"') + END, (400, "not-a-file")),
        (part(b"x", 'form-data; filename="a.jpg"') + END, (400, "invalid-multipart")),
        (part(b"x", 'attachment; name="image"; filename="a.jpg"') + END, (400, "invalid-multipart")),
        (b"--X\r\n\r\nno headers\r\n" + END, (400, "invalid-multipart")),
        (part(b"x", 'form-data; name="image"; filename="' + "a" * 9000 + '"') + END, (400, "invalid-multipart")),
        (part(b"") + END, (422, "image-empty")),
        (part(b"not a picture") + END, (415, "unsupported-image-type")),
    ],
)
async def test_a_bad_form_is_refused_by_its_own_name(
    client: httpx.AsyncClient, body: bytes, expected: tuple[int, str]
) -> None:
    assert await refusal(client, body) == expected


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 300],
)
async def test_a_form_needs_a_usable_boundary(client: httpx.AsyncClient, content_type: str) -> None:
    assert await refusal(client, part(b"x") + END, **{"Content-Type": content_type}) == (400, "invalid-multipart")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "nonsense", "image", "multipart/mixed"])
async def test_another_type_of_body_is_refused_with_what_to_send(
    client: httpx.AsyncClient, jpeg: bytes, content_type: str
) -> None:
    response = await client.post("/v1/classify", content=jpeg, headers={"Content-Type": content_type})
    assert response.status_code == 415
    assert "Content-Type: image/jpeg" in response.json()["detail"]


async def test_a_compressed_body_is_refused(client: httpx.AsyncClient, jpeg: bytes) -> None:
    headers = {"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}
    assert await refusal(client, jpeg, **headers) == (415, "unsupported-media-type")


async def test_the_file_name_may_be_anything(client: httpx.AsyncClient, jpeg: bytes) -> None:
    for disposition in (
        'form-data; name="image"; filename=""',
        'form-data; name="image"; filename="../../etc/passwd"',
        "form-data; name=image; filename*=UTF-8''%C3%A4.jpg",
    ):
        response = await client.post("/v1/classify", content=part(jpeg, disposition) + END, headers=BOUNDARY)
        assert response.status_code == 200, disposition


RAW = ["image/jpeg", "IMAGE/PNG; q=1", "", "application/octet-stream", "application/x-www-form-urlencoded"]
"""The last one is what `curl --data-binary` sends."""


async def test_the_type_of_the_bytes_counts_and_not_that_in_the_header(client: httpx.AsyncClient, jpeg: bytes) -> None:
    for content_type, method in itertools.product(RAW, ("POST", "PUT")):
        headers = {"Content-Type": content_type} if content_type else {}
        response = await client.request(method, "/v1/classify", content=jpeg, headers=headers)
        assert response.status_code == 200, (method, content_type, response.text)
        assert response.json()["image"]["format"] == "JPEG"


async def test_bytes_that_are_no_picture_are_refused_by_what_they_are(client: httpx.AsyncClient) -> None:
    for content_type in RAW:
        headers = {"Content-Type": content_type}
        pdf = await client.post("/v1/classify", content=b"%PDF-1.7\n\x93\xd0", headers=headers)
        empty = await client.post("/v1/classify", content=b"", headers=headers)
        found = content_type, slug(pdf), slug(empty)
        assert found == (content_type, "unsupported-image-type", "image-empty")
        assert "a PDF document" in pdf.json()["detail"]


async def test_fields_of_a_page_that_are_url_encoded_are_no_picture(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"top_k=5", b"image=%FF%D8%FF%E0%00%10JFIF", b"a"):
        response = await client.post("/v1/classify", content=body, headers=headers)
        assert slug(response) == "unsupported-media-type"
        assert "application/x-www-form-urlencoded" in response.json()["detail"]


def slug(response: httpx.Response) -> str:
    return str(response.json()["type"]).removeprefix("/problems/")


def broken_into_lines(picture: bytes) -> bytes:
    return base64.encodebytes(picture).replace(b"\n", b"\r\n")


ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "bare": base64.b64encode,
    "in lines": broken_into_lines,
    "without padding": lambda picture: base64.b64encode(picture).rstrip(b"="),
    "after a line break": lambda picture: b"\r\n" + base64.b64encode(picture) + b"\r\n",
    "a data URL": lambda picture: b"data:image/jpeg;base64," + base64.b64encode(picture),
    "a data URL of no type": lambda picture: b"DATA:;base64," + base64.b64encode(picture),
    "a data URL with a parameter": lambda picture: b"data:image/png;name=a.png;base64," + base64.b64encode(picture),
}


async def test_base64_in_the_file_is_decoded(client: httpx.AsyncClient, jpeg: bytes) -> None:
    for kind, encode in ENCODED.items():
        text = encode(jpeg)
        raw, url_encoded = [
            await client.post("/v1/classify", content=text, headers={"Content-Type": media_type})
            for media_type in ("image/jpeg", "application/x-www-form-urlencoded")
        ]
        coded = part(text, 'form-data; name="image"; filename="a.jpg"\r\nContent-Transfer-Encoding: base64')
        form = await client.post("/v1/classify", content=coded + END, headers=BOUNDARY)
        batch = await client.post("/v1/classify/batch", content=part(text) + part(jpeg) + END, headers=BOUNDARY)
        found = [raw.json(), url_encoded.json(), form.json(), *batch.json()["results"]]
        assert [one.get("image") for one in found] == [{"format": "JPEG", "width": 320, "height": 240}] * 5, kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
async def test_base64_of_every_format_is_decoded(start: Start, replica: FakeReplica, kind: str) -> None:
    client = await start(replica, image_formats=kind)
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, kind)
    response = await client.post("/v1/classify", content=base64.b64encode(file.getvalue()))
    assert response.json()["image"]["format"] == kind


UNDECODABLE = {
    b"data:image/jpeg,%FF%D8%FF": "a data URL without base64",
    b"A" * 60 + b"!": "looks like base64 and cannot be decoded",
    b"A" * 61: "looks like base64 and cannot be decoded",
    b"_-" * 40: "looks like base64 and cannot be decoded",
    b"A" * 40 + b"A\n" * 4000: "looks like base64 and cannot be decoded",
    base64.b64encode(b"%PDF-1.7" * 10): "a PDF document",
}


async def test_base64_that_cannot_be_decoded_is_named_and_fails_its_own_picture_alone(
    client: httpx.AsyncClient, jpeg: bytes
) -> None:
    for text, named in UNDECODABLE.items():
        alone = await client.post("/v1/classify", content=text)
        assert slug(alone) == "unsupported-image-type", text
        assert named in alone.json()["detail"]
        batch = await client.post("/v1/classify/batch", content=part(text) + part(jpeg) + END, headers=BOUNDARY)
        bad, good = batch.json()["results"]
        assert named in bad["problem"]["detail"]
        assert good["image"]["format"] == "JPEG"


@pytest.mark.parametrize("size", [1025, 5000])
async def test_a_body_over_the_limit_is_refused(start: Start, replica: FakeReplica, size: int) -> None:
    client = await start(replica, max_upload_bytes=1024)
    response = await client.post("/v1/classify", content=b"x" * size, headers={"Content-Type": "image/jpeg"})
    assert response.status_code == 413
    assert (
        response.json()["detail"] == "The body may have at most 1,024 bytes; scale the picture down before you send it."
    )


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(start: Start, replica: FakeReplica) -> None:
    client = await start(replica, max_upload_bytes=1024)
    sent = 0

    async def endless() -> object:
        nonlocal sent
        while True:
            sent += 512
            yield b"x" * 512

    response = await client.post("/v1/classify", content=endless(), headers={"Content-Type": "image/jpeg"})  # type: ignore[arg-type]
    assert response.status_code == 413
    assert sent == 3 * 512


async def test_a_body_that_was_read_leaves_the_connection_open(client: httpx.AsyncClient, jpeg: bytes) -> None:
    good = await client.post("/v1/classify", content=jpeg, headers={"Content-Type": "image/jpeg"})
    bad = await client.post("/v1/classify", content=b"nothing", headers={"Content-Type": "image/jpeg"})
    assert [r.headers.get("Connection") for r in (good, bad)] == [None, None]


async def test_a_client_that_leaves_in_mid_upload_is_one_line_and_frees_its_place(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "info")
    app = client._transport.app  # type: ignore[attr-defined]
    arriving: list[dict[str, object]] = [
        {"type": "http.request", "body": b"half a pic", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/classify",
        "raw_path": b"/v1/classify",
        "query_string": b"",
        "headers": [(b"content-type", b"image/jpeg"), (b"content-length", b"1000")],
    }

    async def receive() -> dict[str, object]:
        return arriving.pop(0)

    async def send(message: object) -> None:
        """As uvicorn's once the client has left."""

    await app(scope, receive, send)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["status"] == 499
    assert "gateway_in_flight 0.0" in (await client.get("/metrics")).text
