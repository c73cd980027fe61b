"""The model contract: a trained Keras model becomes `models/NAME/VERSION/`, whole or not at all.

Three signatures over one frozen network (variables and batch norm folded into constants: 43 -> 32 ms of CPU a
request through TensorFlow Serving, answers equal to 1e-6). What was written is read back as a replica would and
compared with Keras before `versions` lets anyone see it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from gateway.labels import Description
from training import provenance, versions, warmup
from training.errors import ExportError
from training.folding import foldable, folded
from training.learn import model as network

Pictures = NDArray[np.uint8]
"""uint8, shape (N, 224, 224, 3)."""

PICTURES_SHAPE = (None, network.SIDE_PX, network.SIDE_PX, 3)
PICTURE_BYTES = network.SIDE_PX * network.SIDE_PX * 3
TOLERANCE = 1e-5
"""How far a served probability may lie from Keras' own."""
IMAGE, IGNORED, PROBABILITIES, DESCRIPTION = "image", "ignored", "probabilities", "description"
"""Names of the signatures' inputs and outputs."""


class Signature(NamedTuple):
    """One way in: names as clients write them, tensors of the exported graph."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


def export(
    model: Any,
    description: Description,
    base: Path,
    *,
    pictures: Pictures | None = None,
    version: int | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Path:
    """Write one version and say where it is.

    Args:
        model: float32 [N,224,224,3] in 0..1 to logits [N,classes]: what `learn.model.build` makes, or a model of
            others as `training.judge.sources.keras_file.as_network` adopts it.
        description: goes into the graph as it is; its temperature divides the logits.
        base: `models/NAME`, the folder that a replica watches.
        pictures: on which the version must answer as Keras does; noise where None.
        version: unix time of the export where None, or the first free number after it.
        origin: what else `training.provenance` is to keep with it.

    Raises:
        ExportError: labels and outputs differ in number, or the version does not answer as Keras does.
    """
    if len(description.labels) != model.output_shape[-1]:
        raise ExportError(f"{len(description.labels)} labels for {model.output_shape[-1]} outputs: fix the label map")
    with versions.adding(base, version) as new:
        _write(new.aside, model, description)
        provenance.write(new.aside, _provenance(description, origin or {}))
        _verify(new.aside, model, description, _noise() if pictures is None else pictures)
    return new.path


def _provenance(description: Description, origin: Mapping[str, Any]) -> provenance.Provenance:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return provenance.Provenance(exported_at=now, description=description, **origin)


def _write(directory: Path, model: Any, description: Description) -> None:
    frozen = _frozen(model, description.temperature)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = _signatures(frozen, description)
        builder = tf.compat.v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.SERVING],
            signature_def_map={name: _definition(signature) for name, signature in signatures.items()},
            strip_default_attrs=True,
        )
        builder.save()
    warmup.write(directory, _warmup_requests())


def _frozen(model: Any, temperature: float) -> Any:
    """The network from floats to probabilities as a GraphDef of constants; "image" in, "Identity" out."""
    served = network.calibrated(folded(model) if foldable(model) else model, temperature)
    spec = tf.TensorSpec(PICTURES_SHAPE, tf.float32, name=IMAGE)
    function = tf.function(lambda image: served(image, training=False)).get_concrete_function(spec)
    return convert_variables_to_constants_v2(function).graph.as_graph_def()


def _signatures(frozen: Any, description: Description) -> dict[str, Signature]:
    """Build the served graph in the current one. The float input has the decoded bytes for its default."""
    encoded = tf.compat.v1.placeholder(tf.string, (None,), name="encoded")
    # As a default, 255 stays a divisor; as a constant it becomes a factor of 1/255, which rounds otherwise.
    white = tf.compat.v1.placeholder_with_default(np.float32(255), (), name="white")
    decoded = tf.divide(tf.cast(_pixels(encoded), tf.float32), white)
    image = tf.compat.v1.placeholder_with_default(decoded, None, name=IMAGE)
    # Servers check no shapes (spec §4.2), and TensorFlow's convolutions abort the process on some of another rank.
    checked = tf.ensure_shape(image, PICTURES_SHAPE)
    (answer,) = tf.import_graph_def(frozen, {f"{IMAGE}:0": checked}, ["Identity:0"], name="network")
    probabilities = tf.identity(answer, name=PROBABILITIES)
    ignored = tf.compat.v1.placeholder(tf.string, (None,), name=IGNORED)
    with tf.control_dependencies([ignored]):
        document = tf.constant([description.model_dump_json()], name=DESCRIPTION)
    return {
        "serving_default": Signature({IMAGE: image}, {PROBABILITIES: probabilities}),
        "serving_bytes": Signature({IMAGE: encoded}, {PROBABILITIES: probabilities}),
        "describe": Signature({IGNORED: ignored}, {DESCRIPTION: document}),
    }


def _pixels(encoded: Any) -> Any:
    """Strings [N] of raw RGB bytes to uint8 [N,224,224,3]; any other length is an error of the request."""
    right = tf.reduce_all(tf.equal(tf.strings.length(encoded), PICTURE_BYTES))
    message = f"each element of 'image' must be {PICTURE_BYTES} bytes: 224 rows of 224 RGB pixels, uint8, top first"
    with tf.control_dependencies([tf.debugging.Assert(right, [message])]):
        flat = tf.io.decode_raw(encoded, tf.uint8)
    return tf.reshape(flat, (-1, network.SIDE_PX, network.SIDE_PX, 3))


def _definition(signature: Signature) -> SignatureDef:
    return SignatureDef(
        inputs={name: _info(tensor) for name, tensor in signature.inputs.items()},
        outputs={name: _info(tensor) for name, tensor in signature.outputs.items()},
        method_name=tf.saved_model.PREDICT_METHOD_NAME,
    )


def _info(tensor: Any) -> TensorInfo:
    """The float input is of unknown shape in the graph, or the optimizer would take its check for superfluous."""
    shape = tf.TensorShape(PICTURES_SHAPE) if tensor.shape.rank is None else tensor.shape
    return TensorInfo(name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=shape.as_proto())


def _warmup_requests() -> list[warmup.Request]:
    """Each signature once; the gateway's own twice, since a graph's first run only prepares the second."""
    grey = warmup.tensor(bytes(PICTURE_BYTES), [1])
    floats = warmup.tensor(0.5, [1, network.SIDE_PX, network.SIDE_PX, 3])
    return [
        ("serving_bytes", {IMAGE: grey}),
        ("serving_bytes", {IMAGE: grey}),
        ("serving_default", {IMAGE: floats}),
        ("describe", {IGNORED: warmup.tensor(b"", [1])}),
    ]


def _verify(directory: Path, model: Any, description: Description, pictures: Pictures) -> None:
    """Read the version as a replica would; both roads answer as Keras does, `describe` with the document."""
    floats = np.asarray(network.unit(pictures))
    wanted = np.asarray(network.calibrated(model, description.temperature)(floats, training=False))
    ask = load(directory)
    raw = [picture.tobytes() for picture in pictures]
    for signature, value in (("serving_default", floats), ("serving_bytes", raw)):
        off = float(np.abs(ask(signature, {IMAGE: value})[PROBABILITIES] - wanted).max())
        if not off < TOLERANCE:
            raise ExportError(f"{signature} differs from Keras by {off:.1e}, more than {TOLERANCE}: nothing exported")
    document = ask("describe", {IGNORED: [b""]})[DESCRIPTION][0]
    if Description.model_validate_json(document) != description:
        raise ExportError("the description does not read back as it was written: nothing exported")


Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
"""(signature name, arrays by input name) -> arrays by output name."""


def load(directory: Path) -> Ask:
    """A version as a replica reads it."""
    loaded = tf.saved_model.load(str(directory))

    def ask(signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        outputs = loaded.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: np.asarray(value) for name, value in outputs.items()}

    return ask


def _noise() -> Pictures:
    return np.random.default_rng(0).integers(0, 256, (2, network.SIDE_PX, network.SIDE_PX, 3), np.uint8)
