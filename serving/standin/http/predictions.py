"""Answer one predict, classify or regress request: JSON in, JSON out."""

import zlib

from serving.standin import limits
from serving.standin.errors import Code, StatusError
from serving.standin.http.urls import ApiCall
from serving.standin.json import examples
from serving.standin.json.predict_request import parse_object, read_feeds, signature_name
from serving.standin.json.predict_response import write_answer
from serving.standin.json.results import write_results
from serving.standin.models.catalog import Catalog
from serving.standin.models.servable import DEFAULT_SIGNATURE, Caller
from serving.standin.monitoring import Metrics
from serving.standin.tensors.classification import wanted_outputs
from serving.standin.tensors.dtypes import STRING, Tensor


def answer(call: ApiCall, body: bytes, caller: Caller, catalog: Catalog, metrics: Metrics) -> bytes:
    """Raises StatusError: the request is invalid, the version is not loaded, the caller has gone, or the run failed."""
    work = _predict if call.verb == "predict" else _classify_or_regress
    return work(call, body, caller, catalog, metrics)


def _predict(call: ApiCall, body: bytes, caller: Caller, catalog: Catalog, metrics: Metrics) -> bytes:
    document = parse_object(body)
    name = signature_name(document)
    with catalog.lease(call.address) as (_, servable):
        signature = servable.signature(name)
        if not signature.inputs:
            raise StatusError.invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
        form, feeds = read_feeds(document, signature.inputs)
        with metrics.runtime(call.address.model, "Predict"):
            outputs = servable.run(signature, feeds, caller=caller)
        return write_answer(outputs, form)


def _classify_or_regress(call: ApiCall, body: bytes, caller: Caller, catalog: Catalog, metrics: Metrics) -> bytes:
    document = parse_object(body)
    name = signature_name(document) or DEFAULT_SIGNATURE
    serialized = examples.read_examples(document)
    with catalog.lease(call.address) as (_, servable):
        signature = servable.signatures.get(name)
        if signature is None:
            raise StatusError(Code.FAILED_PRECONDITION, f"No signature was found with the name: {name}")
        aliases = wanted_outputs(call.verb, signature)
        feeds = {"inputs": Tensor(STRING, (len(serialized),), serialized)}
        with metrics.runtime(call.address.model, call.verb.capitalize()):
            outputs = servable.run(signature, feeds, aliases, caller=caller)
        return write_results(call.verb, outputs, len(serialized))


def unpack(body: bytes, content_encoding: str) -> bytes:
    """Decompress a gzip body once. One that is invalid or too large counts as empty, as in the real server.

    Too large is beyond 100 MiB there; here it is beyond a multiple of the packed size. Decompression stops at the size
    that the end of the body announces.
    """
    if "gzip" not in content_encoding or not body:
        return body
    size = int.from_bytes(body[-4:], "little")
    if size > min(max(limits.UNPACKED_FREE_BYTES, limits.UNPACKED_TIMES * len(body)), limits.BODY_BYTES):
        return b""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, size + 1)
    except zlib.error:
        return b""
    complete = unpacker.eof and not unpacker.unused_data and len(unpacked) == size
    return unpacked if complete else b""
