"""Every failure that is foreseen, by name.

A `GatewayError` becomes an answer: its class holds the status, the slug of the problem type and the advice on the page
`/problems/SLUG`; `detail` is one sentence for the client that sent this request. What can go wrong between the gateway
and one replica is in `failures`.
"""

from typing import ClassVar

RETRY_AFTER_S = 1
"""What answers that will soon be different tell the client to wait, in seconds (RFC 9110, section 10.2.3)."""


class GatewayError(Exception):
    """Becomes a problem+json answer (RFC 9457) in `gateway/http/problems.py`.

    An instance of this class itself, not of a subclass, is a defect: it is logged with its traceback.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The gateway failed"
    advice: ClassVar[str] = (
        "A defect in the gateway. It has been logged under the request id; quote the id when you report it."
    )

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


# --- 400: the form of the request ---------------------------------------------------------------------------


class InvalidParameterError(GatewayError):
    status, slug, title = 400, "invalid-parameter", "A query parameter is wrong"
    advice = "The detail names the parameter and the values it takes; /docs lists every parameter."


class InvalidMultipartError(GatewayError):
    status, slug, title = 400, "invalid-multipart", "The form could not be read"
    advice = (
        "The multipart body is malformed, goes over a limit or was cut off; the detail says which. Let your HTTP "
        "library build the form and set the Content-Type with its boundary; do not write that header by hand."
    )


class MissingImageError(GatewayError):
    status, slug, title = 400, "missing-image", "There is no picture in the form"
    advice = "Send the picture as the multipart file field `image`, as in `curl -F image=@photo.jpg`."


class NotAFileError(GatewayError):
    status, slug, title = 400, "not-a-file", "The field `image` is not a file"
    advice = (
        "The field `image` holds text. Send a file part, that is one with a filename or with the Content-Type of a "
        "picture: with curl write `-F image=@photo.jpg` (with the @), in a page append a File or Blob to the FormData."
    )


class UnknownFieldError(GatewayError):
    status, slug, title = 400, "unknown-field", "The form has an unknown field"
    advice = "The only form field is `image`. Options such as `top_k` go into the query string."


class DuplicateFieldError(GatewayError):
    status, slug, title = 400, "duplicate-field", "The form has the field `image` twice"
    advice = "/v1/classify takes one picture. Send several to /v1/classify/batch."


class TooManyImagesError(GatewayError):
    status, slug, title = 400, "too-many-images", "There are too many pictures in one request"
    advice = "The detail states the limit. Split the batch."


class PredictBodyError(GatewayError):
    status, slug, title = 400, "predict-body-refused", "The body does not fit the model"
    advice = (
        "On TensorFlow Serving's paths the body must be JSON of the form that TensorFlow Serving documents, and every "
        "input must have the rank and the sizes of the signature; GET /v1/models/NAME/metadata shows them. The detail "
        "says what was expected and what came. docs/model-contract.md lists the limits."
    )


class MalformedRequestError(GatewayError):
    status, slug, title = 400, "malformed-request", "This is not a valid HTTP request"
    advice = (
        "The request's headers or body framing are invalid or ambiguous, so it was rejected and the connection was "
        "closed. Use an HTTP library; behind a proxy, check what the proxy sends."
    )


class CrossOriginError(GatewayError):
    status, slug, title = 400, "cross-origin-refused", "A page of this origin may not send this request"
    advice = (
        "A browser asked whether a page of another origin may send this request. The detail names what is not allowed. "
        "The operator lists the allowed origins in GATEWAY_CORS_ORIGINS, and the log names those that were refused. "
        "The allowed methods are GET, HEAD, POST and PUT; all header fields are allowed but cookies and those in which "
        "proxies report the caller."
    )


# --- 401, 429: the API key -------------------------------------------------------------------------------------


class UnauthorizedError(GatewayError):
    status, slug, title = 401, "unauthorized", "An API key is needed"
    advice = (
        "Send the key that the operator gave you, as `Authorization: Bearer KEY` or `X-API-Key: KEY`. The detail says "
        "whether the key was missing or unknown."
    )
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class TooManyBadKeysError(GatewayError):
    status, slug, title = 429, "too-many-bad-keys", "Too many wrong API keys"
    advice = (
        "This key is wrong, and so were ten others from this address within a minute. Check the key that the operator "
        "gave you; a right one is accepted at once. Wait for Retry-After seconds before you send another guess."
    )


# --- 404, 405, 408, 413, 414, 415, 431: the address, the method and the size --------------------------------------


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
    status, slug, title = 408, "request-timeout", "The request did not arrive in time"
    advice = (
        "Its head took longer than GATEWAY_HEAD_TIMEOUT_S, its body paused for longer than GATEWAY_BODY_IDLE_S, or it "
        "arrived more slowly than GATEWAY_BODY_MIN_BYTES_PER_S. Send it again, over a faster connection or scaled down."
    )


class BodyTooLargeError(GatewayError):
    status, slug, title = 413, "body-too-large", "The upload is too large"
    advice = "The detail states the limit. Scale the picture down before you send it: 512 pixels a side are enough."


class UnsupportedMediaTypeError(GatewayError):
    status, slug, title = 415, "unsupported-media-type", "The body has a type that is not accepted"
    advice = (
        "Send multipart/form-data with a file field `image`, or the bytes of the picture as the body with its "
        "own Content-Type, such as image/jpeg, with application/octet-stream or with none. Do not compress it: no "
        "Content-Encoding is accepted."
    )


class UrlTooLongError(GatewayError):
    status, slug, title = 414, "url-too-long", "The URL is too long"
    advice = "URLs are limited to 8 KiB. Send pictures in the request body."


class HeadTooLargeError(GatewayError):
    status, slug, title = 431, "head-too-large", "The head of the request is too large"
    advice = "It has more bytes or fields than GATEWAY_MAX_HEAD_BYTES and GATEWAY_MAX_HEAD_FIELDS allow; send fewer."


# --- 502, 503, 504: the replicas --------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    status, slug, title = 502, "upstream-failed", "The model server failed"
    advice = "The model servers answered, but without a usable prediction. The log names the reason for the operator."


class NoReplicaError(GatewayError):
    status, slug, title = 503, "no-replica-available", "No model server is available"
    advice = "Try again after Retry-After seconds. /v1/models names the reason for the operator."


class RequestQuarantinedError(GatewayError):
    status, slug, title = 503, "request-quarantined", "This request may have crashed a model server"
    advice = (
        "A model server was lost while it worked on this request, and nothing else explains it. The same body is "
        "refused until Retry-After seconds have passed; others are not affected. The log names its digest."
    )


class OverloadedError(GatewayError):
    status, slug, title = 503, "overloaded", "The gateway is full"
    advice = "The detail names the limit that was reached. Try again after Retry-After seconds."


class TooManyConnectionsError(GatewayError):
    status, slug, title = 503, "too-many-connections", "The gateway has too many connections"
    advice = "More connections are open than GATEWAY_MAX_CONNECTIONS allows. Try again after Retry-After seconds."


class ShuttingDownError(GatewayError):
    status, slug, title = 503, "shutting-down", "The gateway is shutting down"
    advice = "Another gateway, or this one after its restart, will answer. Try again after Retry-After seconds."


class DeadlineError(GatewayError):
    status, slug, title = 504, "deadline-exceeded", "The answer did not come in time"
    advice = "The answer took longer than GATEWAY_DEADLINE_S. It is safe to try again."


class ContractError(Exception):
    """This version cannot be served; the message says why, for the operator."""


# --- The picture itself: raised by `imaging`, and for base64 by `http.uploads` ------------------------------------


class ImageEmptyError(GatewayError):
    status, slug, title = 422, "image-empty", "The picture is an empty file"
    advice = "The file has no bytes. Check how it was made or read: often the upload started before it was written."


class UnsupportedImageTypeError(GatewayError):
    status, slug, title = 415, "unsupported-image-type", "This type of picture is not accepted"
    advice = (
        "The detail names what was sent and what is accepted; the bytes decide, not the file name. Convert the "
        "picture, for example with `magick photo.heic photo.jpg`; in a page, draw it on a canvas and use toBlob()."
    )


class ImageTruncatedError(GatewayError):
    status, slug, title = 422, "image-truncated", "The picture ends too early"
    advice = "Part of the file is missing, as after an interrupted download. Send the whole file."


class ImageDecodeError(GatewayError):
    status, slug, title = 422, "image-not-decodable", "The picture is damaged"
    advice = "The file starts like a picture, but cannot be decoded. Save it again with an image program and send that."


class ImageTooLargeError(GatewayError):
    status, slug, title = 422, "image-too-large", "The picture has too many pixels"
    advice = (
        "Decoding it would take more memory than the operator allows (GATEWAY_MAX_DECODED_BYTES); the detail says "
        "how many pixels are allowed. Scale it down before you send it: 512 pixels a side are enough."
    )


class ImageTooComplexError(GatewayError):
    status, slug, title = 422, "image-too-complex", "The picture takes too long to decode"
    advice = (
        "The file has more scans, segments or chunks than common programs write, or decoding it takes more CPU time "
        "than GATEWAY_DECODE_CPU_S. Open it in an image program, save it again as a plain JPEG and send that."
    )


PICTURE_ERRORS: tuple[type[GatewayError], ...] = (
    UnsupportedImageTypeError,
    ImageEmptyError,
    ImageTruncatedError,
    ImageDecodeError,
    ImageTooLargeError,
    ImageTooComplexError,
)
"""Every error with which a picture is refused."""


class LargerShareError(Exception):
    """Decoding needs more memory or time than was reserved for it, but no more than is allowed."""

    def __init__(self, needed_bytes: int) -> None:
        super().__init__(f"{needed_bytes} bytes needed, or more time")
        self.needed_bytes = needed_bytes


# --- The process that decodes it: raised by `decoding`, nowhere else ----------------------------------------------


class DecoderCrashedError(GatewayError):
    status, slug, title = 422, "decoder-crashed", "The picture crashed the decoder"
    advice = (
        "Decoding ran in a process of its own, which crashed on this file; no other request was affected. "
        "Open the picture in an image program, save it again and send that."
    )


class DecoderLostError(GatewayError):
    status, slug, title = 503, "decoder-lost", "The decode process was lost"
    advice = (
        "The process that decoded the picture was killed from outside, or got no CPU time on a machine that is too "
        "busy. It is safe to try again after Retry-After seconds."
    )
