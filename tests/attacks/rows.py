"""For every route of the gateway, the requests within its limits that may be its dearest."""

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.attacks.bodies import BODIES, LARGE, OF_EXAMPLES, Body
from tests.attacks.pictures import PICTURES

MODEL = "/v1/models/my_model"
BOUNDARY = b"specimen"
WRONG_KEY = "wrong" * 8


@dataclass(frozen=True)
class Request:
    """One request; `raw` replaces its head and body."""

    name: str
    method: str
    target: str
    body: Callable[[], Body] | None = None
    fields: tuple[str, ...] = ()
    raw: bytes = field(default=b"", repr=False)

    def message(self, key: str) -> bytes:
        """All its bytes. `key` is sent where the request has none of its own."""
        if self.raw:
            return self.raw
        body = self.body() if self.body else None
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: localhost", *self.fields]
        if not any(line.lower().startswith(("x-api-key", "authorization")) for line in lines):
            lines.append(f"X-API-Key: {key}")
        if body:
            lines += [f"Content-Encoding: {body.coding}"] * bool(body.coding)
            lines.append(f"Content-Length: {len(body.data)}")
        return "\r\n".join([*lines, "", ""]).encode() + (body.data if body else b"")


def form(*files: bytes) -> bytes:
    """The multipart form with each file in a part of its own."""
    head = b'--%s\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' % BOUNDARY
    return b"".join(head + data + b"\r\n" for data in files) + b"--%s--\r\n" % BOUNDARY


def as_form(*files: str) -> Callable[[], Body]:
    """The named pictures."""
    return lambda: Body(form(*(PICTURES[name]() for name in files)))


def as_body(name: str) -> Callable[[], Body]:
    """One picture without a form."""
    return lambda: Body(PICTURES[name]())


def as_it_is(data: bytes) -> Callable[[], Body]:
    """A body of these bytes."""
    return lambda: Body(data)


FORM = (f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}",)
IMAGE = ("Content-Type: image/jpeg",)
JSON = ("Content-Type: application/json",)
FULL_HEAD = tuple(f"X-Field-{at}: {'v' * 180}" for at in range(60))
"""With Host, key, type and length: 64 fields of 12 KB."""
UNKNOWN = "?" + "&".join(f"{at:x}" for at in range(1500))
"""A query of 7 KB: each parameter is unknown."""
LONG = "?a=" + "b" * 8000
ENCODED = "?" + "%41" * 2700
LABELS = "?top_k=100000"
DEAREST = "flat PNG, 36 MP"


def queries(
    method: str, path: str, fields: tuple[str, ...] = (), body: Callable[[], Body] | None = None
) -> list[Request]:
    """The same request with each kind of long query and with a full head."""
    return [
        Request("1,500 unknown parameters", method, path + UNKNOWN, body, fields),
        Request("a parameter of 8 KB", method, path + LONG, body, fields),
        Request("a query of escapes", method, path + ENCODED, body, fields),
        Request("60 further fields of 12 KB", method, path, body, fields + FULL_HEAD),
    ]


def page(path: str, *more: Request) -> list[Request]:
    """A GET without parameters of its own."""
    return [Request("plain", "GET", path), *queries("GET", path), *more]


WAYS = ("", "/versions/1", "/labels/stable")
"""How a path names the version."""


def passed_on(verb: str, bodies: dict[str, Callable[[], Body]]) -> list[Request]:
    """Each body, and the first of them also for a version and a label."""
    plain = [Request(name, "POST", f"{MODEL}:{verb}", body, JSON) for name, body in bodies.items()]
    first = next(iter(bodies.values()))
    others = [Request(f"{next(iter(bodies))}{way}", "POST", f"{MODEL}{way}:{verb}", first, JSON) for way in WAYS[1:]]
    return [*plain, *others, *queries("POST", f"{MODEL}:{verb}", JSON, as_it_is(b'{"instances":[1]}'))]


def asked(suffix: str) -> list[Request]:
    """A GET on each of TensorFlow Serving's paths that end so."""
    return [
        *page(f"{MODEL}{suffix}"),
        Request("of a version", "GET", f"{MODEL}/versions/1{suffix}"),
        Request("of a version of 4,000 digits", "GET", f"{MODEL}/versions/{'9' * 4000}{suffix}"),
        Request("of a label", "GET", f"{MODEL}/labels/stable{suffix}"),
        Request("of a label of 8 KB", "GET", f"{MODEL}/labels/{'a' * 8000}{suffix}"),
        Request("of another model", "GET", f"/v1/models/{'a' * 8000}{suffix}"),
    ]


def chosen(*names: str) -> dict[str, Callable[[], Body]]:
    """Some of the bodies."""
    return {name: BODIES[name] for name in names}


FOR_PREDICT = chosen(
    *("60,000 brackets", "4 MB of [", "lists and objects, 30,000 each", "empty lists", "200,000 base64 values"),
    *("100,000 names", "one name 100,000 times", "a million numbers", "a picture of NaN", "a string of escapes"),
    *("gzip of 4 MB of [", "gzip of 90 MB of NULs", "rank 1", "two pictures of other sizes"),
)
BATCH = "/v1/classify/batch"
SCRIPT = "/docs/assets/swagger-ui-bundle.js"
RANGES = ("Range: bytes=" + ",".join(f"{at}-{at + 9}" for at in range(0, 2000, 20)),)
PREFLIGHT = ("Origin: https://a.example", "Access-Control-Request-Method: POST")
NAMES = "Access-Control-Request-Headers: " + ",".join(f"x-{at}" for at in range(2000))
BASE64 = (b"A" * 31 + b"\r\n") * 310_000
"""With as many line breaks as are accepted."""
TWO_LENGTHS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"

ROWS: dict[str, list[Request]] = {
    "POST /v1/classify": [
        *(Request(name, "POST", "/v1/classify", as_body(name), IMAGE) for name in PICTURES),
        Request("small JPEG, all labels", "POST", "/v1/classify" + LABELS, as_body("small JPEG"), IMAGE),
        Request("10 MB of base64 in lines", "POST", "/v1/classify", as_it_is(BASE64), IMAGE),
        Request("10 MB of zeros", "POST", "/v1/classify", as_it_is(b"\xff\xd8" + bytes(10 * 2**20 - 2)), IMAGE),
        *queries("POST", "/v1/classify", IMAGE, as_body("small JPEG")),
    ],
    "POST /v1/classify, form": [
        *(Request(name, "POST", "/v1/classify", as_form(name), FORM) for name in (DEAREST, "PNG of 9 MB")),
        Request("200,000 empty parts", "POST", "/v1/classify", as_it_is(b"--specimen\r\n\r\n\r\n" * 200_000), FORM),
        Request(
            "a part's header of 9 MB", "POST", "/v1/classify", as_it_is(b"--specimen\r\nA: " + b"b" * 9_000_000), FORM
        ),
        Request("10 MB of line breaks", "POST", "/v1/classify", as_it_is(form(b"\r\n" * 5_000_000)), FORM),
        Request(
            "10 MB of boundaries cut short", "POST", "/v1/classify", as_it_is(form(b"\r\n--specime" * 900_000)), FORM
        ),
        Request("the same before the first part", "POST", "/v1/classify", as_it_is(b"\r\n--specime" * 900_000), FORM),
    ],
    "POST /v1/classify/batch": [
        *(
            Request(f"16 x {name}", "POST", BATCH, as_form(*[name] * 16), FORM)
            for name in (DEAREST, "flat GIF, 36 MP", "progressive JPEG, 12 MP", "flat PNG, 6 MP", "flat WebP, 16 MP")
        ),
        Request("4 x PNG of 9 MB", "POST", BATCH, as_form(*["PNG of 9 MB"] * 4), FORM),
        Request("16 x small JPEG, all labels", "POST", BATCH + LABELS, as_form(*["small JPEG"] * 16), FORM),
        Request("40 MB of boundaries cut short", "POST", BATCH, as_it_is(form(b"\r\n--specime" * 3_800_000)), FORM),
        Request("4 x 9 MB of base64 in lines", "POST", BATCH, as_it_is(form(*[BASE64[:9_000_000]] * 4)), FORM),
        *queries("POST", BATCH, FORM, as_form("small JPEG")),
    ],
    "POST :predict": passed_on("predict", FOR_PREDICT | LARGE),
    "POST :classify": passed_on("classify", OF_EXAMPLES),
    "POST :regress": passed_on("regress", OF_EXAMPLES),
    "GET /v1/models/NAME": asked(""),
    "GET /v1/models/NAME/metadata": asked("/metadata"),
    "GET /v1/labels": page("/v1/labels") + page("/v1/samples") + page("/v1/samples/1"),
    "GET /v1/models": page("/v1/models"),
    "GET /healthz": page("/healthz"),
    "GET /readyz": page("/readyz"),
    "GET /metrics": page("/metrics"),
    "GET /": page("/"),
    "GET /docs": page("/docs"),
    "GET /openapi.json": page("/openapi.json"),
    "GET /problems/TYPE": [
        *page("/problems/image-too-large"),
        Request("a type of 8 KB", "GET", f"/problems/{'a' * 8000}"),
    ],
    "GET /docs/assets/FILE": page(
        SCRIPT,
        Request("100 ranges", "GET", SCRIPT, fields=RANGES),
        Request("a name of 8 KB", "GET", "/docs/assets/" + "a/" * 4000),
    ),
    "GET /static/FILE": page("/static/icon.svg", Request("a name of 8 KB", "GET", "/static/" + "%2e%2e/" * 1100)),
    "no such route": [
        Request("a path of 8 KB", "GET", "/" + "a" * 8000),
        Request("8 KB of escapes", "GET", "/" + "%41" * 2700),
        Request("4,000 slashes", "GET", "/" * 4000),
        Request("another method", "DELETE", "/v1/classify" + LONG),
        Request("a preflight", "OPTIONS", "/v1/classify", fields=PREFLIGHT),
        Request("a preflight for 12 KB of names", "OPTIONS", "/v1/classify", fields=(*PREFLIGHT, NAMES)),
        Request("10 MB", "POST", "/nothing", as_it_is(bytes(10 * 2**20))),
    ],
    "wrong key": [
        Request("wrong key", "GET", "/v1/labels", fields=(f"X-API-Key: {WRONG_KEY}",)),
        Request("a key of 12 KB", "GET", "/v1/labels", fields=(f"X-API-Key: {'k' * 12_000}",)),
        Request("60 further fields", "GET", "/v1/labels", fields=(f"Authorization: Bearer {WRONG_KEY}", *FULL_HEAD)),
        Request("32 MB", "POST", f"{MODEL}:predict", as_it_is(bytes(32 * 2**20)), (f"X-API-Key: {WRONG_KEY}",)),
        Request("a long query", "POST", "/v1/classify" + UNKNOWN, as_body("small JPEG"), (f"X-API-Key: {WRONG_KEY}",)),
    ],
    "malformed head": [
        Request("random bytes", "GET", "/", raw=bytes(range(128, 256)) * 64),
        Request("no host", "GET", "/", raw=b"GET / HTTP/1.1\r\n\r\n"),
        Request("two lengths", "GET", "/", raw=TWO_LENGTHS),
        Request("a URL of 1 MB", "GET", "/", raw=b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        Request("100,000 fields", "GET", "/", raw=b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 100_000 + b"\r\n"),
        Request("a field of 1 MB", "GET", "/", raw=b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2**20 + b"\r\n\r\n"),
        Request("17 requests at once", "GET", "/", raw=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 18 + b"\0\r\n\r\n"),
    ],
}
"""The row's name -> its candidates. The last rows are no routes: they are answered before one is found or allowed."""
NO_ROUTES = ("no such route", "wrong key", "malformed head")

CHEAP = [
    *(requests[0] for row, requests in ROWS.items() if row.startswith("GET")),
    Request("small JPEG, all labels", "POST", "/v1/classify" + LABELS, as_body("small JPEG"), IMAGE),
    Request("4 x small JPEG, all labels", "POST", BATCH + LABELS, as_form(*["small JPEG"] * 4), FORM),
    *(
        Request(verb, "POST", f"{MODEL}:{verb}", as_it_is(b'{"instances":[1],"examples":[{}]}'), JSON)
        for verb in ("predict", "classify", "regress")
    ),
]
"""A request to each route that costs little."""
POISONS = [
    *(Request(name, "POST", f"{MODEL}:predict", body, JSON) for name, body in BODIES.items()),
    *(
        Request(f"{name}{way}", "POST", f"{MODEL}{way}:predict", BODIES[name], JSON)
        for way in WAYS[1:]
        for name in ("60,000 brackets", "60,000 objects", "empty lists", "gzip of 4 MB of [", "rank 1")
    ),
    *(
        Request(f"{name} ({verb})", "POST", f"{MODEL}:{verb}", body, JSON)
        for verb in ("classify", "regress")
        for name, body in OF_EXAMPLES.items()
    ),
]
"""What kills or stalls parsers, on every kind of path."""


def path_of(request: Request) -> str:
    """As the router sees it."""
    return urllib.parse.unquote(urllib.parse.urlsplit(request.target).path)
