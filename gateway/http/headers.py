"""The header fields that every answer of this origin has, in one place and as bytes.

The outermost layer adds them (`observe.logs`); a refusal that never reached the application has them too (`problems`).
An answer is data unless it is a document that brings a policy of its own (`documents`): a browser may then run nothing
from it, frame it nowhere, and keep it in no cache, since what it holds may depend on the caller's key and language.
"""

Field = tuple[bytes, bytes]

POLICY = b"content-security-policy"
NOTHING = b"default-src 'none'; frame-ancestors 'none'"
"""The policy of what no browser needs to render."""

_OF_ALL: tuple[Field, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),  # for browsers that do not know frame-ancestors
)
OF_DOCUMENTS: tuple[Field, ...] = (*_OF_ALL, (b"vary", b"Origin"))
"""Which pages may read an answer depends on their origin (`cors`)."""
OF_DATA: tuple[Field, ...] = (
    *_OF_ALL,
    (POLICY, NOTHING),
    (b"cache-control", b"no-store"),
    (b"vary", b"Authorization, X-API-Key, Accept-Language, Origin"),
)
