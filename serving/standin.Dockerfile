# The stand-in for TensorFlow Serving under the official image's contract: MODEL_NAME, MODEL_BASE_PATH, 8500, 8501 and
# /usr/bin/tf_serving_entrypoint.sh with the server's flags as arguments. So it can be SERVING_IMAGE, on arm64 as well:
#   docker build -f serving/standin.Dockerfile -t specimen/standin .
#
# The first two stages are the same, word for word, in every Dockerfile with TensorFlow: it is installed once.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS lock
WORKDIR /src
COPY pyproject.toml requirements.lock ./
COPY deploy/locked.py deploy/
RUN python deploy/locked.py serving >/serving.txt && \
    python deploy/locked.py gateway training >/training.txt && \
    python deploy/locked.py gateway training notebooks >/notebooks.txt

FROM ${PYTHON_IMAGE} AS tensorflow
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
RUN python -m venv --without-pip /opt/venv
COPY --from=lock /serving.txt /opt/
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes -r /opt/serving.txt

FROM tensorflow
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Specimen stand-in for TensorFlow Serving" \
      org.opencontainers.image.description="TensorFlow Serving's API on TensorFlow itself, for where the official image cannot run" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV MODEL_NAME=model \
    MODEL_BASE_PATH=/models
COPY LICENSE /app/
COPY serving/tensorflow_model_server serving/tf_serving_entrypoint.sh /usr/bin/
COPY serving /app/serving
RUN ["python", "-m", "compileall", "-q", "/app/serving"]
RUN ["mkdir", "-p", "/models"]
LABEL org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
EXPOSE 8500 8501
ENTRYPOINT ["/usr/bin/tf_serving_entrypoint.sh"]
