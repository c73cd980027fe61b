"""The examples of a classify or regress request message."""

from protocol.tensorflow_serving_pb2 import Input


def read_input(message: Input) -> list[bytes]:
    """Serialized tf.Examples. A shared context is put in front of each: parsing merges concatenated messages."""
    shared = message.example_list_with_context
    return [shared.context + example for example in shared.examples] or list(message.example_list.examples)
