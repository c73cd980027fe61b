"""TensorFlow Serving's REST and gRPC interfaces on TensorFlow itself, for machines without Docker or on arm64.

`python -m serving.standin` takes the flags of tensorflow_model_server and answers as it does, down to the texts of its
errors. What differs, on purpose:

- gRPC is without MultiInference, HandleReloadConfigRequest and TLS, and requests are not batched.
- STANDIN_HOST in the environment names the one address to listen on; the real server always listens on all.
- A port that cannot be had ends the process; the real server goes on without REST.
- gRPC is bound with the first connection to REST, when the models are loaded.
- SIGTERM and SIGINT finish the requests under way and end the process; the real server drops them.
- A model whose folder is missing, or whose load takes long or fails, holds up no other model.
- Status, metadata and metrics are answered while all workers are busy.
- HEAD is answered without a body, and every answer carries its length.
"""
