"""A trained Keras model as `models/NAME/VERSION/`, a SavedModel that keeps the model contract; whole or not at all.

Three signatures share one frozen network. Variables and batch norm are folded into constants: 43 -> 32 ms of CPU per
request through TensorFlow Serving, with answers equal to 1e-6. The version is read back as a replica reads it and
compared with Keras before `versions` makes it visible.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from gateway.labels import Description
from training import versions
from training.errors import ExportError
from training.learn import model as network
from training.release import provenance, warmup

Pictures = NDArray[np.uint8]
"""uint8, shape (N, 224, 224, 3)."""

PICTURES_SHAPE = (None, network.SIDE_PX, network.SIDE_PX, 3)
PICTURE_BYTES = network.SIDE_PX * network.SIDE_PX * 3
TOLERANCE = 1e-5
"""Largest difference between a served probability and Keras' own."""
IMAGE, IGNORED, DESCRIPTION = "image", "ignored", "description"
PROBABILITIES, FAMILIARITY = "probabilities", "familiarity"
"""Names of the signatures' inputs and outputs."""


class Signature(NamedTuple):
    """Inputs and outputs by the names that clients use, as tensors of the exported graph."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


def write_version(
    model: Any,
    description: Description,
    base: Path,
    *,
    pictures: Pictures | None = None,
    version: int | None = None,
    origin: Mapping[str, Any] | None = None,
    shares: NDArray[np.float32] | None = None,
    taught: NDArray[np.float32] | None = None,
) -> Path:
    """Write one version; returns its folder.

    Args:
        model: float32 [N,224,224,3] in 0..1 to logits [N,classes]: what `learn.model.build` makes, or another model as
            `judge.sources.keras_file.as_network` adapts it.
        description: goes into the graph unchanged; its temperature divides the logits.
        base: `models/NAME`, the folder that a replica watches.
        pictures: on which the version must answer as Keras does; noise where None.
        version: unix time of the export where None, or the first free number after it.
        origin: further fields of `provenance.Provenance`.
        shares: float32 [classes,labels]: carries the probabilities of the model's classes over to the labels, as
            `learn.model.calibrated` says. Their sum is then the familiarity, since what is lost has no label.
        taught: float32 [M,features], each of length 1: by these the familiarity is measured, as
            `learn.model.familiarity` says. Without `taught` and `shares` the version has none.

    Raises:
        ExportError: labels and outputs differ in number, or the version does not answer as Keras does.
    """
    outputs = model.output_shape[-1] if shares is None else shares.shape[1]
    if len(description.labels) != outputs:
        raise ExportError(f"The model has {outputs} outputs for {len(description.labels)} labels: fix the label file.")
    with versions.adding(base, version) as new:
        _write(new.partial, _served(_without_norms(model), description, shares, taught), description)
        provenance.write(new.partial, _provenance(description, origin or {}))
        _verify(
            new.partial,
            _served(model, description, shares, taught),
            description,
            _noise() if pictures is None else pictures,
        )
    return new.path


def _provenance(description: Description, origin: Mapping[str, Any]) -> provenance.Provenance:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return provenance.Provenance(exported_at=now, description=description, **origin)


def _write(directory: Path, served: Any, description: Description) -> None:
    frozen = _frozen(served)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = _signatures(frozen, tuple(served.output), description)
        builder = tf.compat.v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.SERVING],
            signature_def_map={name: _definition(signature) for name, signature in signatures.items()},
            strip_default_attrs=True,
        )
        builder.save()
    warmup.write(directory, _warmup_requests())


# --- The graph --------------------------------------------------------------------------------------------------


def _served(
    model: Any, description: Description, shares: NDArray[np.float32] | None, taught: NDArray[np.float32] | None
) -> Any:
    """The model with its served outputs by name: probabilities, and familiarity where it has one."""
    calibrated = network.calibrated(model, description.temperature, shares)
    outputs = {PROBABILITIES: calibrated.output}
    if shares is not None:
        outputs[FAMILIARITY] = keras.ops.minimum(keras.ops.sum(calibrated.output, axis=-1), 1)
    elif taught is not None:
        outputs[FAMILIARITY] = network.familiarity(calibrated.get_layer("pooled").output, taught)
    return keras.Model(calibrated.input, outputs, name="served")


def _frozen(served: Any) -> Any:
    """From floats to the outputs as a GraphDef of constants; input "image", output nodes as `_nodes` names them."""
    spec = tf.TensorSpec(PICTURES_SHAPE, tf.float32, name=IMAGE)
    function = tf.function(lambda image: served(image, training=False)).get_concrete_function(spec)
    return convert_variables_to_constants_v2(function).graph.as_graph_def()


def _nodes(names: Collection[str]) -> dict[str, str]:
    """Output -> node of the frozen graph: TensorFlow numbers what a function returns, in the order of the names."""
    return {name: f"Identity_{at}:0" if at else "Identity:0" for at, name in enumerate(sorted(names))}


def _signatures(frozen: Any, outputs: Collection[str], description: Description) -> dict[str, Signature]:
    """Build the served graph in the current one. The decoded bytes are the default of the float input."""
    encoded = tf.compat.v1.placeholder(tf.string, (None,), name="encoded")
    # As a default, 255 stays a divisor; as a constant it becomes a factor of 1/255, which rounds differently.
    white = tf.compat.v1.placeholder_with_default(np.float32(255), (), name="white")
    decoded = tf.divide(tf.cast(_pixels(encoded), tf.float32), white)
    image = tf.compat.v1.placeholder_with_default(decoded, None, name=IMAGE)
    # TensorFlow Serving checks no shapes, and TensorFlow's convolutions abort the process on inputs of other ranks.
    checked = tf.ensure_shape(image, PICTURES_SHAPE)
    nodes = _nodes(outputs)
    found = tf.import_graph_def(frozen, {f"{IMAGE}:0": checked}, list(nodes.values()), name="network")
    answers = {name: tf.identity(answer, name=name) for name, answer in zip(nodes, found, strict=True)}
    ignored = tf.compat.v1.placeholder(tf.string, (None,), name=IGNORED)
    with tf.control_dependencies([ignored]):
        document = tf.constant([description.model_dump_json()], name=DESCRIPTION)
    return {
        "serving_default": Signature({IMAGE: image}, {PROBABILITIES: answers[PROBABILITIES]}),
        "serving_bytes": Signature({IMAGE: encoded}, answers),
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
    """The float input has no shape in the graph, because the optimizer would then remove its shape check."""
    shape = tf.TensorShape(PICTURES_SHAPE) if tensor.shape.rank is None else tensor.shape
    return TensorInfo(name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=shape.as_proto())


def _warmup_requests() -> list[warmup.Request]:
    """Each signature once; the gateway's twice, since the first run of a graph only prepares the second."""
    grey = warmup.tensor(bytes(PICTURE_BYTES), [1])
    floats = warmup.tensor(0.5, [1, network.SIDE_PX, network.SIDE_PX, 3])
    return [
        ("serving_bytes", {IMAGE: grey}),
        ("serving_bytes", {IMAGE: grey}),
        ("serving_default", {IMAGE: floats}),
        ("describe", {IGNORED: warmup.tensor(b"", [1])}),
    ]


# --- Verification -----------------------------------------------------------------------------------------------


def _verify(directory: Path, served: Any, description: Description, pictures: Pictures) -> None:
    """Read the version as a replica does: both picture signatures answer as Keras, `describe` with the document."""
    floats = np.asarray(network.unit(pictures))
    wanted = served(floats, training=False)
    ask = load(directory)
    raw = [picture.tobytes() for picture in pictures]
    for signature, value in (("serving_default", floats), ("serving_bytes", raw)):
        for output, answer in ask(signature, {IMAGE: value}).items():
            off = float(np.abs(answer - wanted[output]).max())
            if not off < TOLERANCE:
                raise ExportError(
                    f"{output} of {signature} differs from Keras by {off:.1e}, more than {TOLERANCE}: "
                    "nothing was exported."
                )
    document = ask("describe", {IGNORED: [b""]})[DESCRIPTION][0]
    if Description.model_validate_json(document) != description:
        raise ExportError("The description does not read back as it was written: nothing was exported.")


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


# --- Batch norm folded into the convolutions --------------------------------------------------------------------
#
# At inference a convolution and the batch norm after it are one affine map. TensorFlow folds most of them when it loads
# a frozen graph; the rest costs 13 % of the CPU of a full-width MobileNetV2 (22.4 -> 19.5 ms per picture, one thread).


def _without_norms(model: Any) -> Any:
    """A copy of a model of `learn.model` with the same answers at inference, without batch norm; not trainable.

    Other models are returned as they are.
    """
    if not {"body", "logits"} <= {layer.name for layer in model.layers}:
        return model
    body = _body_without_norms(model.get_layer("body"))

    def same(layer: Any) -> Any:
        return body if layer.name == "body" else layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=same)
    copy.get_layer("logits").set_weights(model.get_layer("logits").get_weights())
    return copy


def _body_without_norms(body: Any) -> Any:
    copy = keras.models.clone_model(body, clone_function=_with_bias, call_function=_past_norms)
    layers = [layer for layer in body.layers if layer.get_weights()]
    for convolution, norm in zip(layers[::2], layers[1::2], strict=True):
        copy.get_layer(convolution.name).set_weights(_folded(convolution, norm))
    return copy


def _with_bias(layer: Any) -> Any:
    config = layer.get_config()
    return layer.__class__.from_config({**config, "use_bias": True} if "use_bias" in config else config)


def _past_norms(layer: Any, *inputs: Any, **options: Any) -> Any:
    return inputs[0] if isinstance(layer, keras.layers.BatchNormalization) else layer(*inputs, **options)


def _folded(convolution: Any, norm: Any) -> list[Any]:
    """Kernel and bias of both. Depthwise kernels are [h,w,channels,1], others [h,w,in,channels]."""
    (kernel,) = convolution.get_weights()
    gamma, beta, mean, variance = (array.astype(np.float64) for array in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    kernel_of_both = kernel * (scale[:, None] if depthwise else scale)
    return [kernel_of_both.astype(np.float32), (beta - mean * scale).astype(np.float32)]
