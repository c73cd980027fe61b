"""Python's HTTP libraries: requests, urllib3, httpx and aiohttp. Arguments: the library, URL, picture."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import requests
import urllib3

LIBRARY, URL, FILE = sys.argv[1:]
ONE, SIX = f"{URL}/v1/classify", f"{URL}/v1/classify/batch"
PICTURE = Path(FILE).read_bytes()
FORM, FORM_TYPE = urllib3.encode_multipart_formdata([("image", ("a.jpg", PICTURE))])
SIX_FORM, SIX_TYPE = urllib3.encode_multipart_formdata([("image", ("a.jpg", PICTURE))] * 6)
TEXT = b"This is text."


def tell(what: str, answer: bytes) -> None:
    """Print the names, or the sentence of the problem."""
    document = json.loads(answer)
    results = document.get("results", [document])
    labels = [one["label"] for result in results for one in result.get("predictions", ())]
    sys.stdout.write(f"{what}\t{document.get('detail') or ' '.join(labels)}\n")


def pieces(body: bytes) -> Iterator[bytes]:
    """A body of unknown length."""
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


async def arriving(body: bytes) -> AsyncIterator[bytes]:
    for piece in pieces(body):
        yield piece


def with_requests() -> None:
    def post(what: str, url: str, **body: Any) -> None:
        tell(what, requests.post(url, timeout=60, **body).content)

    with Path(FILE).open("rb") as file:
        post("raw sized", ONE, data=file)
    post("raw chunked", ONE, data=pieces(PICTURE))
    with Path(FILE).open("rb") as file:
        post("form sized", ONE, files={"image": file})
    post("form chunked", ONE, data=pieces(FORM), headers={"Content-Type": FORM_TYPE})
    post("six sized", SIX, files=[("image", ("a.jpg", PICTURE))] * 6)
    post("six chunked", SIX, data=pieces(SIX_FORM), headers={"Content-Type": SIX_TYPE})
    post("no picture", ONE, files={"image": TEXT})


def with_urllib3() -> None:
    def post(what: str, url: str, **body: Any) -> None:
        tell(what, urllib3.request("POST", url, **body).data)

    post("raw sized", ONE, body=PICTURE)
    post("raw chunked", ONE, body=pieces(PICTURE))
    post("form sized", ONE, fields={"image": ("a.jpg", PICTURE)})
    post("form chunked", ONE, body=pieces(FORM), headers={"Content-Type": FORM_TYPE})
    post("six sized", SIX, fields=[("image", ("a.jpg", PICTURE))] * 6)
    post("six chunked", SIX, body=pieces(SIX_FORM), headers={"Content-Type": SIX_TYPE})
    post("no picture", ONE, fields={"image": ("a.jpg", TEXT, "image/jpeg")})


def with_httpx() -> None:
    def post(what: str, url: str, **body: Any) -> None:
        tell(what, httpx.post(url, timeout=60, **body).content)

    post("raw sized", ONE, content=PICTURE)
    post("raw chunked", ONE, content=pieces(PICTURE))
    post("form sized", ONE, files={"image": PICTURE})
    post("form chunked", ONE, content=pieces(FORM), headers={"Content-Type": FORM_TYPE})
    post("six sized", SIX, files=[("image", ("a.jpg", PICTURE))] * 6)
    post("six chunked", SIX, content=pieces(SIX_FORM), headers={"Content-Type": SIX_TYPE})
    post("no picture", ONE, files={"image": TEXT})


def aiohttp_form(content: bytes, count: int = 1) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for _ in range(count):
        form.add_field("image", content, filename="a.jpg", content_type="image/jpeg")
    return form


async def with_aiohttp() -> None:
    async with aiohttp.ClientSession() as session:

        async def post(what: str, url: str, data: Any, **options: Any) -> None:
            async with session.post(url, data=data, **options) as answer:
                tell(what, await answer.read())

        await post("raw sized", ONE, PICTURE)
        await post("raw chunked", ONE, arriving(PICTURE))
        await post("form sized", ONE, aiohttp_form(PICTURE))
        await post("form chunked", ONE, aiohttp_form(PICTURE), chunked=True)
        await post("six sized", SIX, aiohttp_form(PICTURE, 6))
        await post("six chunked", SIX, aiohttp_form(PICTURE, 6), chunked=True)
        await post("no picture", ONE, aiohttp_form(TEXT))


if LIBRARY == "aiohttp":
    asyncio.run(with_aiohttp())
else:
    {"requests": with_requests, "urllib3": with_urllib3, "httpx": with_httpx}[LIBRARY]()
