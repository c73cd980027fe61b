"""A stand-in for TensorFlow Serving on TensorFlow itself, for machines without Docker and for arm64.

`python -m serving.standin` takes the flags of tensorflow_model_server and gives the same responses over REST and gRPC,
down to the texts of errors. `docs/tensorflow-serving.md` describes that behaviour, and `tests/contract` compares the
stand-in with recorded responses of the real server.

Rooms, each of which imports only those below it:

- `__main__`: the start and the stop.
- `http/`, `grpc/`: connections, routes and methods.
- `json/`: request bodies to tensors, tensors to response bodies, in RapidJSON's dialect and with its error texts.
- `models/`: configuration, and which versions are loaded, when, and by whom they are used.
- `engine/`: TensorFlow, through its C interface.
- `tensors/`: element types, tensors, signatures, and their protocol buffers.
- `monitoring`, `flags`, `errors`, `limits`: metrics, the command line, status codes, bounds on one request.

One predict request over REST passes through these files:

1. `http/server.py` reads the bytes of a connection; `http/message.py` makes a request of them.
2. `http/routes.py` asks `http/urls.py` for the model and the verb, and hands the request to a worker thread.
3. `http/predictions.py` unpacks the body and follows the request from here on.
4. `json/structure.py` counts its values, `json/parser.py` parses it; `models/catalog.py` finds the version, a
   `models/servable.py`.
5. `json/predict_request.py` makes the input tensors, with `json/values.py`, `json/base64.py` and `tensors/dtypes.py`.
6. `models/servable.py` waits for its turn in `engine/fair_semaphore.py` and runs the graph in `engine/tensorflow_c.py`.
7. `json/predict_response.py` writes the outputs, with `json/numbers.py` and `json/text.py`.
8. `http/routes.py` and `http/server.py` send the response.

Over gRPC it passes through `grpc/server.py`, `grpc/methods.py`, `models/catalog.py`, `tensors/tensor_proto.py`, then
6, and back.

Intended differences from the real server:

- gRPC lacks MultiInference, HandleReloadConfigRequest and TLS. Requests are not batched.
- STANDIN_HOST in the environment names the one address to listen on; the real server listens on all.
- A REST port that is in use ends the process; the real server goes on without REST.
- gRPC accepts its first call when REST accepts its first connection, after the models are loaded.
- SIGTERM and SIGINT let the requests in progress finish before the process ends; the real server drops them.
- A model whose folder is missing, or whose load is slow or fails, does not delay other models.
- Status, metadata and metrics are answered while all workers are busy.
- One request has bounds on its body, nesting, values, escapes, gzip, tensors and chunks (`limits`): it is refused with
  400, or 413 for a body or its chunks. Docs: `docs/decisions/0044-bounds-of-the-stand-in.md`.
- Where the graph has a convolution, inputs must have the shape of the signature: 400 `input X: expected shape …`. The
  real server may end at them.
- A predict, classify or regress request is not begun if its caller has gone: status CANCELLED, counted, 499 over REST.
  It is looked up before the body is parsed and before the session runs. A run that has begun goes on to its end. Over
  REST, a client that closed its own side alone counts as waiting for one second more.
- A HEAD request gets no body, and every response states its length.
"""
