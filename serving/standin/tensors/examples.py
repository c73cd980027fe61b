"""The serialized tf.Examples of a classify or regress request."""

from collections.abc import Sequence

from protocol.tensorflow_serving_pb2 import Input
from serving.standin import limits
from serving.standin.errors import StatusError


def read_input(message: Input) -> list[bytes]:
    """Those of a request message, each with the context that they share."""
    shared = message.example_list_with_context
    return with_context(shared.context, shared.examples) or list(message.example_list.examples)


def with_context(context: bytes, examples: Sequence[bytes]) -> list[bytes]:
    """The context in front of each example: parsing merges concatenated messages.

    Raises:
        StatusError: INVALID_ARGUMENT: the copies of the context would exceed `limits.BODY_BYTES`.
    """
    if len(context) * len(examples) > limits.BODY_BYTES:
        raise StatusError.invalid(
            f"{len(examples)} copies of a context of {len(context)} bytes exceed {limits.BODY_BYTES} bytes"
        )
    return [context + example for example in examples]
