"""Multipart forms as RFC 2046 and RFC 7578 allow them: what is read, and how a refusal names what is wrong."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http import uploads

DISPOSITION = b'Content-Disposition: form-data; name="image"; filename="a.jpg"'
END = b"\r\n--X--\r\n"
FORM = b"--X\r\n" + DISPOSITION + b"\r\n\r\npicture" + END


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, *, most: int = 1, size: int = 65536, boundary: str = "X") -> list[bytes]:
    return await uploads._read_form(pieces(body, size), f"multipart/form-data; boundary={boundary}", most=most)


async def detail(body: bytes) -> str:
    """Of the refusal."""
    with pytest.raises(GatewayError) as refused:
        await read(body)
    return refused.value.detail


READ = {
    "plain": FORM,
    "a text before the first part": b"This is a message in MIME format.\r\nA MIME reader shows its parts.\r\n" + FORM,
    "a text with hyphens and line ends": b"--\r\n-\r\n\r\n\r\n--\r\n" + FORM,
    "an empty line before the first part": b"\r\n" + FORM,
    "a text after the last part": FORM + b"The end.\r\n--X\r\nnot a part",
    "nothing after the last part": FORM[:-2],
    "blanks after the boundaries": FORM.replace(b"--X\r\n", b"--X \t \r\n"),
    "a folded field": FORM.replace(b"; ", b";\r\n "),
    "a field folded by a tab": FORM.replace(b"; ", b";\r\n\t\t"),
    "a fold before the value": FORM.replace(b"Content-Disposition: ", b"Content-Disposition:\r\n "),
    "a folded field that does not count": FORM.replace(b"\r\n\r\n", b"\r\nX-Note: one\r\n two\r\n\r\n"),
    "fields in other letters": FORM.replace(b"Content-Disposition", b"content-DISPOSITION"),
    "no blank after the colon": FORM.replace(b": ", b":"),
    "no quotes": FORM.replace(b'"image"', b"image"),
    "blanks around the equals sign": FORM.replace(b"name=", b"name = "),
    "parameters in another order": FORM.replace(b'name="image"; filename="a.jpg"', b'filename="a;b"; name="image"'),
    "a quoted quote in the file name": FORM.replace(b"a.jpg", b'a\\"; name=\\"b'),
    "an encoded file name": FORM.replace(b'filename="a.jpg"', b"filename*=UTF-8''%C3%A4.jpg"),
    "eight fields": FORM.replace(b"\r\n\r\n", b"\r\nX-A: b" * 7 + b"\r\n\r\n"),
    "a file name of 4,000 bytes": FORM.replace(b"a.jpg", b"a" * 4000),
    "a picture's type and no file name": FORM.replace(b'; filename="a.jpg"', b"\r\nContent-Type: image/jpeg"),
    "bytes and no file name": FORM.replace(b'; filename="a.jpg"', b"\r\nContent-Type: application/octet-stream"),
    "a coding that changes nothing": FORM.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: Binary\r\n\r\n"),
}


@pytest.mark.parametrize("size", [1, 2, 7, 65536])
@pytest.mark.parametrize("name", READ)
async def test_what_the_standards_allow_is_read(name: str, size: int) -> None:
    assert await read(READ[name], size=size) == [b"picture"]


REFUSED = {
    "nine fields": (FORM.replace(b"\r\n\r\n", b"\r\nX-A: b" * 8 + b"\r\n\r\n"), "more than 8 header fields"),
    "a thousand fields": (FORM.replace(b"\r\n\r\n", b"\r\nX-A: b" * 1000 + b"\r\n\r\n"), "more than 8 header fields"),
    "a file name of 5,000 bytes": (
        FORM.replace(b"a.jpg", b"a" * 5000),
        "4,096 bytes, the file name included",
    ),
    "a folded file name of 5,000 bytes": (FORM.replace(b"a.jpg", b"a\r\n " * 2500), "more than 4,096 bytes"),
    "a head without end": (FORM.replace(b"a.jpg", b"a" * 100_000)[:90_000], "more than 4,096 bytes"),
    "lines that end in LF": (FORM.replace(b"\r\n", b"\n"), "does not end in CR and LF"),
    "a head whose lines end in LF": (b"--X\r\n" + DISPOSITION + b"\n\npicture" + END * 2, "ends in LF alone"),
    "a head whose lines end in LF before a large picture": (
        b"--X\r\n" + DISPOSITION + b"\n\n" + b"p" * 50_000 + END,
        "ends in LF alone",
    ),
    "another boundary": (FORM.replace(b"--X", b"--Y"), "No line of the body begins with two hyphens and the boundary"),
    "a longer boundary": (FORM.replace(b"--X", b"--XY"), "goes on after the boundary"),
    "blanks without end": (FORM.replace(b"--X", b"--X" + b" " * 1000), "goes on after the boundary"),
    "no closing boundary": (FORM[: -len(END)], "breaks off before its closing boundary"),
    "half a closing boundary": (FORM[:-3], "breaks off before its closing boundary"),
    "no colon": (FORM.replace(b"\r\n\r\n", b"\r\nnothing\r\n\r\n"), "without a valid name"),
    "a fold first": (FORM.replace(b"Content-D", b" Content-D"), "without a valid name"),
    "a bare CR": (FORM.replace(b"\r\n\r\n", b"\r\nX: a\rb\r\n\r\n"), "without a valid name"),
    "no name": (FORM.replace(b'name="image"; ', b""), "has no name"),
    "two names": (FORM.replace(b'name="image"', b'name="image"; name="other"'), "a parameter twice"),
    "two dispositions": (FORM.replace(DISPOSITION, DISPOSITION + b"\r\n" + DISPOSITION), "content-disposition twice"),
    "neither a file name nor a type": (
        FORM.replace(b'; filename="a.jpg"', b""),
        "neither a file name nor the Content-Type",
    ),
    "text": (FORM.replace(b'; filename="a.jpg"', b"\r\nContent-Type: text/plain"), "neither a file name nor"),
    "a coding that is not read": (
        FORM.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"),
        "has the Content-Transfer-Encoding 'quoted-printable'; send the bytes of the picture as they are",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_is_named(name: str) -> None:
    body, named = REFUSED[name]
    assert named in await detail(body)


async def test_a_content_type_of_thousands_of_parameters_is_refused_unread() -> None:
    with pytest.raises(GatewayError, match="more than 4,096 bytes"):
        await read(FORM, boundary="X" + ";" * 4096)


async def test_a_part_is_refused_before_its_content_arrives() -> None:
    left = [FORM[:30], b"never asked for"]

    async def arriving() -> AsyncIterator[bytes]:
        while left:
            yield left.pop(0)

    body = FORM.replace(b"image", b"other")
    left[0] = body[: body.index(b"picture")]
    with pytest.raises(GatewayError, match="a field 'other'"):
        await uploads._read_form(arriving(), "multipart/form-data; boundary=X", most=1)
    assert left == [b"never asked for"]


async def test_the_first_part_too_many_is_refused() -> None:
    part = FORM[: -len(END)] + b"\r\n"
    assert len(await read(part * 3 + END[2:], most=3)) == 3
    with pytest.raises(GatewayError, match="at most 3 pictures"):
        await read(part * 4, most=3)


@pytest.mark.parametrize(
    "boundary", ['"a b:c=(1)?/"', "'()+_,-./:=?", "-" * 27 + "974767299852498929531610575", "A" * 70]
)
async def test_a_boundary_may_be_whatever_the_standard_allows(boundary: str) -> None:
    body = FORM.replace(b"--X", b"--" + boundary.strip('"').encode())
    assert await read(body, boundary=boundary, size=3) == [b"picture"]


content = st.binary(max_size=200) | st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"X", b"\r\n", b"a"])).map(
    b"".join
)


@given(contents=st.lists(content, min_size=1, max_size=4), size=st.integers(1, 40))
async def test_every_content_comes_back_in_whatever_pieces_it_arrives(contents: list[bytes], size: int) -> None:
    contents = [one for one in contents if b"\r\n--X" not in b"\r\n" + one] or [b""]
    body = b"".join(b"--X\r\n" + DISPOSITION + b"\r\n\r\n" + one + b"\r\n" for one in contents) + b"--X--"
    assert await read(body, most=4, size=size) == contents


fragment = st.sampled_from(
    [
        b"--X",
        b"--X--",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b";",
        b'"',
        b"\\",
        b"=",
        DISPOSITION,
        b"name",
        b"\0",
        b"\xff",
    ]
)


@given(fragments=st.lists(fragment, max_size=30), size=st.integers(1, 20))
async def test_the_pieces_make_no_difference_to_what_is_read_or_refused(fragments: list[bytes], size: int) -> None:
    body = b"".join(fragments)

    async def outcome(size: int) -> list[bytes] | str:
        try:
            return await read(body, most=3, size=size)
        except GatewayError as refused:
            return refused.slug

    assert await outcome(size) == await outcome(65536)
