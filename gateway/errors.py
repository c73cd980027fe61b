"""Everything that can go wrong, by name.

Two families. A `GatewayError` becomes an answer: its class holds the status, the slug of the problem type
and what the reader of `/problems/SLUG` should know; `detail` is one sentence for the sender of this request.
A `ReplicaError` is one failed attempt: `replicas.dispatch` decides whether another replica gets a turn.
"""

from typing import ClassVar


class GatewayError(Exception):
    """Becomes a problem+json answer (RFC 9457) in `problems`, and nowhere else."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The gateway failed"
    advice: ClassVar[str] = (
        "A defect on our side. It has been logged under the request id; quote the id when you report it."
    )

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


# --- 400: the form of the request ---------------------------------------------------------------------------


class InvalidParameterError(GatewayError):
    status, slug, title = 400, "invalid-parameter", "A query parameter is wrong"
    advice = "The detail names the parameter and the values it takes; /docs lists them all."


class InvalidMultipartError(GatewayError):
    status, slug, title = 400, "invalid-multipart", "The form could not be read"
    advice = (
        "The multipart body is malformed or was cut off. Let your HTTP library build the form and set the "
        "Content-Type with its boundary; do not write that header by hand."
    )


class MissingImageError(GatewayError):
    status, slug, title = 400, "missing-image", "There is no picture in the form"
    advice = "Send the picture as the multipart file field `image`, as in `curl -F image=@photo.jpg`."


class NotAFileError(GatewayError):
    status, slug, title = 400, "not-a-file", "The field `image` is not a file"
    advice = (
        "The field `image` holds text. Send a file part, that is one with a filename: with curl write "
        "`-F image=@photo.jpg` (mind the @), in a page append a File or Blob to the FormData."
    )


class UnknownFieldError(GatewayError):
    status, slug, title = 400, "unknown-field", "The form has a field we do not know"
    advice = "The only form field is `image`. Options such as `top_k` go into the query string."


class DuplicateFieldError(GatewayError):
    status, slug, title = 400, "duplicate-field", "The form has the field `image` twice"
    advice = "/v1/classify takes one picture. Send several to /v1/classify/batch."


class TooManyImagesError(GatewayError):
    status, slug, title = 400, "too-many-images", "There are too many pictures in one request"
    advice = "The detail states the limit. Split the batch."


class MalformedRequestError(GatewayError):
    status, slug, title = 400, "malformed-request", "This is not a valid HTTP request"
    advice = (
        "Its head or the framing of its body can be read in two ways or in none, so nothing of it was carried out and "
        "the connection is closed. Use an HTTP library; behind a proxy, look at what the proxy sends."
    )


class CrossOriginError(GatewayError):
    status, slug, title = 400, "cross-origin-refused", "Pages of that origin may not send this request"
    advice = (
        "A browser asked whether a page of another origin may send this. The operator lists the origins that may in "
        "GATEWAY_CORS_ORIGINS; the methods are GET and POST, the detail says what does not fit."
    )


# --- 401, 429: the API key -------------------------------------------------------------------------------------


class UnauthorizedError(GatewayError):
    status, slug, title = 401, "unauthorized", "An API key is needed"
    advice = (
        "Send the key that the operator gave you, as `Authorization: Bearer KEY` or `X-API-Key: KEY`. The detail says "
        "whether it was missing or not known."
    )
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class TooManyBadKeysError(GatewayError):
    status, slug, title = 429, "too-many-bad-keys", "Too many wrong API keys"
    advice = (
        "This key is wrong, and so were ten others from this address within a minute. Check the key that the operator "
        "gave you; a right one is accepted at once. Wait for Retry-After seconds before you send another guess."
    )


# --- 404, 405, 408, 413, 414, 415, 431: what was asked for, and how -----------------------------------


class NotFoundError(GatewayError):
    status, slug, title = 404, "not-found", "There is nothing at this address"
    advice = "/docs lists every address."


class VersionNotServedError(GatewayError):
    status, slug, title = 404, "version-not-served", "That version of the model is not served"
    advice = "The detail names the versions that are served; so does /v1/models. Leave `version` out for the default."


class MethodNotAllowedError(GatewayError):
    status, slug, title = 405, "method-not-allowed", "This address does not take that method"
    advice = "The header Allow names the methods it takes."


class RequestTimeoutError(GatewayError):
    status, slug, title = 408, "request-timeout", "The request did not come in time"
    advice = (
        "Its head took longer than GATEWAY_HEAD_TIMEOUT_S, its body paused for longer than GATEWAY_BODY_IDLE_S, or it "
        "came more slowly than GATEWAY_BODY_MIN_BYTES_PER_S. Send it again, over a better line or scaled down."
    )


class BodyTooLargeError(GatewayError):
    status, slug, title = 413, "body-too-large", "The upload is too large"
    advice = "The detail states the limit. Scale the picture down before you send it: 512 pixels a side is plenty."


class UnsupportedMediaTypeError(GatewayError):
    status, slug, title = 415, "unsupported-media-type", "The body is of a type we do not read"
    advice = (
        "Send multipart/form-data with a file field `image`, or the bytes of the picture as the body with its "
        "own Content-Type, such as image/jpeg; uncompressed, so without a Content-Encoding."
    )


class UrlTooLongError(GatewayError):
    status, slug, title = 414, "url-too-long", "The address is too long"
    advice = "No address of this API is longer than a line. Pictures go into the body."


class HeadTooLargeError(GatewayError):
    status, slug, title = 431, "head-too-large", "The head of the request is too large"
    advice = "It has more bytes or more fields than GATEWAY_MAX_HEAD_BYTES and GATEWAY_MAX_HEAD_FIELDS allow."


# --- 502, 503, 504: the replicas --------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    status, slug, title = 502, "upstream-failed", "The model server failed"
    advice = "The model servers answered, but not with a usable prediction. The operator finds the reason in the log."


class NoReplicaError(GatewayError):
    status, slug, title = 503, "no-replica-available", "No model server is available"
    advice = "Try again after the seconds in Retry-After. Operators see the reason at /v1/models."


class OverloadedError(GatewayError):
    status, slug, title = 503, "overloaded", "The gateway is full"
    advice = "More requests are in flight than the gateway is set to hold. Try again after Retry-After seconds."


class TooManyConnectionsError(GatewayError):
    status, slug, title = 503, "too-many-connections", "The gateway has too many connections"
    advice = "More connections are open than GATEWAY_MAX_CONNECTIONS allows. Try again after Retry-After seconds."


class ShuttingDownError(GatewayError):
    status, slug, title = 503, "shutting-down", "The gateway is shutting down"
    advice = "Another gateway, or this one after its restart, will answer. Try again after Retry-After seconds."


class DeadlineError(GatewayError):
    status, slug, title = 504, "deadline-exceeded", "The answer did not come in time"
    advice = "The model servers took longer than the operator's deadline. Try again; it is safe."


# --- One attempt at one replica -----------------------------------------------------------------------------------


class ReplicaError(Exception):
    """One attempt at one replica failed."""

    retriable: ClassVar[bool] = True
    """Another replica may well do better."""
    counts: ClassVar[bool] = True
    """Held against the replica: enough of these in a row and it is ejected."""
    free: ClassVar[bool] = False
    """Going again is not a retry that the budget must pay for."""

    @property
    def outcome(self) -> str:
        """What metrics call it."""
        return type(self).__name__.removesuffix("Error")


class ReplicaUnreachableError(ReplicaError):
    """No connection could be made: nothing was sent."""


class ConnectionLostError(ReplicaError):
    """The connection broke before the whole answer had come."""


class ConnectionStaleError(ConnectionLostError):
    """A kept connection turned out to be closed, before a byte of an answer: nobody's failure, and common."""

    counts = False
    free = True


class AttemptTimeoutError(ReplicaError):
    """The replica took the request and did not answer in time."""


class VersionGoneError(ReplicaError):
    """404: the version that the URL pins has just been unloaded there."""

    counts = False


class ReplicaBusyError(ReplicaError):
    """429 or 503: it refused the work without doing it."""

    counts = False


class ReplicaFailedError(ReplicaError):
    """500 and the like: it tried and failed."""


class BadAnswerError(ReplicaError):
    """200 with something that is not a prediction: wrong JSON, width or numbers."""


class ReplicaRejectedError(ReplicaError):
    """400: no replica would take this request. 504: it may still be at work on it, so nobody else shall."""

    retriable = False
    counts = False


class ContractError(Exception):
    """This version cannot be served; the message says why, for the operator."""


# --- The picture itself: raised by `imaging`, nowhere else -------------------------------------------------------


class ImageEmptyError(GatewayError):
    status, slug, title = 422, "image-empty", "The picture is an empty file"
    advice = "The file has no bytes. Look at how it was made or read: often the upload started before it was written."


class UnsupportedImageTypeError(GatewayError):
    status, slug, title = 415, "unsupported-image-type", "This is not a type of picture that is accepted"
    advice = (
        "The detail says what was sent and what is accepted; the bytes decide, not the file name. Convert the "
        "picture, for example with `magick photo.heic photo.jpg`; in a page, draw it on a canvas and use toBlob()."
    )


class ImageTruncatedError(GatewayError):
    status, slug, title = 422, "image-truncated", "The picture ends too early"
    advice = "Part of the file is missing, as after an interrupted download. Send the whole file."


class ImageDecodeError(GatewayError):
    status, slug, title = 422, "image-not-decodable", "The picture is damaged"
    advice = "The file starts like a picture, but cannot be decoded. Save it anew with an image program and send that."


class ImageTooLargeError(GatewayError):
    status, slug, title = 422, "image-too-large", "The picture has too many pixels"
    advice = (
        "Decoding it would take more memory than the operator allows (GATEWAY_MAX_DECODED_BYTES); the detail says "
        "how many pixels would do. Scale it down before you send it: 512 pixels a side is plenty."
    )


class ImageTooComplexError(GatewayError):
    status, slug, title = 422, "image-too-complex", "The picture takes too long to decode"
    advice = (
        "The file has more scans, segments or chunks than any usual program writes, or takes more computing time "
        "than one picture may. Open it in an image program, save it anew as a plain JPEG and send that."
    )


PICTURE_ERRORS: tuple[type[GatewayError], ...] = (
    UnsupportedImageTypeError,
    ImageEmptyError,
    ImageTruncatedError,
    ImageDecodeError,
    ImageTooLargeError,
    ImageTooComplexError,
)
"""All the ways in which `imaging` refuses a picture."""


class LargerShareError(Exception):
    """Decoding needs more memory or time than was set aside for it, though not more than it may have."""

    def __init__(self, needed_bytes: int) -> None:
        super().__init__(f"{needed_bytes} bytes needed, or more time")
        self.needed_bytes = needed_bytes


# --- The process that decodes it: raised by `decoding`, nowhere else ----------------------------------------------


class DecoderCrashedError(GatewayError):
    status, slug, title = 422, "decoder-crashed", "The picture made the decoder crash"
    advice = (
        "Decoding ran in a process of its own, which broke down over this file; no other request was harmed. "
        "Open the picture in an image program, save it anew and send that."
    )


class DecoderLostError(GatewayError):
    status, slug, title = 503, "decoder-lost", "The decode process was lost"
    advice = (
        "The process that decoded the picture was ended from outside, or made no headway on a machine that is too "
        "busy. Try again after Retry-After seconds; it is safe."
    )
