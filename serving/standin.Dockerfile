# The stand-in for TensorFlow Serving, with the interface of the official image: MODEL_NAME, MODEL_BASE_PATH, ports 8500
# and 8501, and /usr/bin/tf_serving_entrypoint.sh, which accepts the server's flags. SERVING_IMAGE can name it, on arm64
# too:
#   docker build -f serving/standin.Dockerfile -t specimen/standin .
#
# The first two stages are identical in every Dockerfile with TensorFlow, so that it is installed once.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS lock
WORKDIR /src
COPY pyproject.toml requirements.lock ./
COPY deploy/locked.py deploy/
RUN python deploy/locked.py serving >/serving.txt && \
    python deploy/locked.py gateway training pretrained >/training.txt && \
    python deploy/locked.py gateway training pretrained notebooks >/notebooks.txt

FROM ${PYTHON_IMAGE} AS tensorflow
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
RUN python -m venv --without-pip /opt/venv
COPY --from=lock /serving.txt /opt/
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes -r /opt/serving.txt

FROM ${PYTHON_IMAGE} AS code
COPY LICENSE NOTICE /image/app/
COPY serving/tensorflow_model_server serving/tf_serving_entrypoint.sh /image/usr/bin/
COPY protocol /image/app/protocol
COPY serving /image/app/serving
RUN mkdir /image/models && python -m compileall -q -s /image /image/app

# The code comes last, in one layer, because it changes most often.
FROM tensorflow
LABEL org.opencontainers.image.title="Specimen stand-in for TensorFlow Serving" \
      org.opencontainers.image.description="TensorFlow Serving's API on TensorFlow itself, for systems on which the official image cannot run" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
ENV MODEL_NAME=model \
    MODEL_BASE_PATH=/models
USER 10001:10001
EXPOSE 8500 8501
ENTRYPOINT ["/usr/bin/tf_serving_entrypoint.sh"]
COPY --from=code /image /
