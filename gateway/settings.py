"""What an operator may set: one frozen object, read once in `__main__` and passed by hand after that.

Every field is an environment variable (`GATEWAY_PORT`) and a flag (`--port`); the flag wins.
`docs/settings.md` is generated from the descriptions below.
"""

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FilePath, IPvAnyNetwork, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1024 * 1024

IPV4_IN_IPV6 = IPv6Network("::ffff:0:0/96")
"""How a dual-stack socket reports IPv4 addresses (RFC 4291 §2.5.5.2)."""


def as_ipv4(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """::ffff:10.0.0.0/104 -> 10.0.0.0/8; other networks as they are."""
    if isinstance(network, IPv6Network) and network.subnet_of(IPV4_IN_IPV6):
        return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network


InputRange = Literal["0..1", "-1..1", "0..255"]
ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC", "TIFF", "BMP"]
Network = Annotated[IPvAnyNetwork, AfterValidator(as_ipv4)]
Comma = NoDecode  # lists are written a,b,c; pydantic-settings would want JSON

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""CPU cores this process may use; a container's cpuset counts, its CFS quota does not."""


class Settings(BaseSettings):
    """Specimen's gateway: photos in over HTTP, TensorFlow Serving behind it, class names out."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_",
        env_ignore_empty=True,  # a Compose file hands on what is not set as an empty string
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_prog_name="python -m gateway",
        validate_default=True,
    )

    # --- Where it listens ---
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8080, ge=1, le=65535, description="TCP port to listen on.")
    cors_origins: Annotated[tuple[str, ...], Comma] = Field(
        (),
        description="Origins whose pages may call the API, with commas between: https://www.example.org; * for any.",
    )

    # --- Who may ask ---
    api_keys_file: FilePath | None = Field(
        None,
        description="Callers and the hashes of their API keys, NAME:SHA256 a line; `python -m gateway.auth NAME` makes "
        "one. Empty: anybody may ask. Read at the start.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], Comma] = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For is believed, with commas between; for "
        "counting wrong API keys, and for the canary's share of the callers.",
    )

    # --- Model servers ---
    upstream: str = Field(
        "",
        description="Where the TensorFlow Serving replicas are: HOST:PORT with commas between, or dns://NAME:PORT "
        "where every address of NAME is a replica. Empty: the gateway starts replicas itself.",
    )
    transport: Literal["rest", "grpc"] = Field(
        "rest",
        description="Which of TensorFlow Serving's APIs the gateway itself uses; grpc pays where a model takes floats. "
        "Clients' own calls on `/v1/models/NAME` always go on over REST.",
    )
    grpc_port: int = Field(
        8500,
        ge=1,
        le=65535,
        description="Where the replicas speak gRPC; an upstream HOST:PORT/GRPCPORT names another port for one.",
    )
    embedded_replicas: int = Field(
        2, ge=1, le=64, description="Model servers that the gateway starts when no upstream is set."
    )
    models_dir: Path = Field(
        Path("models"), description="Folder of the embedded replicas' models, NAME/VERSION/ inside."
    )
    model_name: str = Field(
        "my_model",
        pattern=r"^[^/:%?#\s]+$",
        description="Name of the model on the replicas, as in their /v1/models/NAME.",
    )

    balancer: Literal["round-robin", "least-loaded"] = Field(
        "round-robin",
        description="Whose turn it is: round-robin, exactly even; or least-loaded, the better of two drawn at random, "
        "which gives a slow replica less.",
    )
    hedge: bool = Field(
        False,
        description="Ask a second replica when the first takes unusually long (twice the 95th percentile, at least "
        "50 ms), and take the answer that comes first. Within the retry budget.",
    )
    canary: str = Field(
        "",
        pattern=r"^$|^[0-9]+:[0-9]+(\.[0-9]+)?%$",
        description="VERSION:SHARE%, such as 1602685044:5%: so many of the callers, always the same ones, get that "
        "version; nobody else does unless they ask for it.",
    )

    # --- A model that does not describe itself ---
    labels_file: FilePath | None = Field(
        None,
        description="Class names, one a line in output order, for a model without a `describe` signature.",
    )
    input_range: InputRange = Field(
        "0..1", description="What such a model expects a colour channel to span: 0..1, -1..1 or 0..255."
    )
    signature: str = Field(
        "",
        description="Signature to call. Empty: serving_bytes where the model has it, else serving_default.",
    )

    # --- Time, in seconds ---
    deadline_s: float = Field(
        10,
        gt=0,
        le=300,
        description="Longest a prediction may take once the upload is in, retries included. Seconds.",
    )
    attempt_timeout_s: float = Field(
        5, gt=0, le=300, description="Longest one replica may take before another is asked. Seconds."
    )
    decode_cpu_s: float = Field(
        2, ge=0.05, le=60, description="Most CPU time that decoding one picture may take. Seconds."
    )
    decode_timeout_s: float = Field(
        10, gt=0, le=300, description="Longest that decoding one picture may take, on however busy a machine. Seconds."
    )
    decode_wait_s: float = Field(
        1, gt=0, le=60, description="Longest a large picture may wait for memory that others hold. Seconds."
    )
    connect_timeout_s: float = Field(1, gt=0, le=60, description="Longest a connection may take to open. Seconds.")
    probe_interval_s: float = Field(
        1, ge=0.05, le=300, description="Pause between two looks at a replica's state. Seconds."
    )
    probe_timeout_s: float = Field(1, gt=0, le=60, description="Longest one such look may take. Seconds.")
    dns_refresh_s: float = Field(
        5, ge=0.05, le=3600, description="Pause between two look-ups of a dns:// upstream. Seconds."
    )

    slow_start_s: float = Field(
        5,
        ge=0,
        le=600,
        description="A replica that comes back gets a growing share of its turns for so long. Seconds.",
    )
    queue_wait_s: float = Field(
        0.2,
        ge=0,
        le=60,
        description="Longest a request may wait for a place at a replica before it is turned away. Seconds.",
    )

    # --- Patience with clients, in seconds ---
    head_timeout_s: float = Field(
        5,
        gt=0,
        le=300,
        description="Longest a request's head may take, from the connection or its first byte. Seconds.",
    )
    body_idle_s: float = Field(5, gt=0, le=300, description="Longest pause within a request's body. Seconds.")
    body_timeout_s: float = Field(
        15,
        gt=0,
        le=3600,
        description="Longest a body may take, beside the time its bytes take at GATEWAY_BODY_MIN_BYTES_PER_S. Seconds.",
    )
    body_min_bytes_per_s: int = Field(
        32 * 1024, ge=1, description="Slowest pace at which a large body may come. Bytes a second."
    )
    send_timeout_s: float = Field(
        30, gt=0, le=3600, description="Longest a client may take to read an answer. Seconds."
    )
    keep_alive_s: float = Field(
        75, gt=0, le=3600, description="Longest a connection may rest between two requests. Seconds."
    )
    drain_s: float = Field(
        5,
        ge=0,
        le=600,
        description="After SIGTERM: how long requests are still accepted while /readyz is red, so that balancers can "
        "turn away. Ctrl-C skips it. Seconds.",
    )

    # --- Size ---
    max_connections: int = Field(
        4096, ge=1, description="Most connections of clients at once; one more is turned away with 503."
    )
    max_head_bytes: int = Field(16 * 1024, ge=1024, description="Largest head of a request. Bytes.")
    max_head_fields: int = Field(64, ge=8, description="Most fields in the head of a request.")
    max_upload_bytes: int = Field(
        10 * MIB, ge=1024, description="Largest picture, as uploaded, form around it included. Bytes."
    )
    max_batch_images: int = Field(16, ge=1, le=1000, description="Most pictures in one batch.")
    max_batch_bytes: int = Field(40 * MIB, ge=1024, description="Largest body of a batch. Bytes.")
    max_predict_bytes: int = Field(
        32 * MIB, ge=1024, description="Largest body on TensorFlow Serving's own paths. Bytes."
    )
    max_bodies_bytes: int = Field(
        256 * MIB, ge=1024, description="Most memory for the bodies of all requests together; beyond it, 503. Bytes."
    )
    max_decoded_bytes: int = Field(
        256 * MIB,
        ge=MIB,
        description="Most memory that decoding one picture may need, judged by its header. Bytes.",
    )
    image_formats: Annotated[tuple[ImageFormat, ...], Comma] = Field(
        ("JPEG", "PNG", "WEBP", "GIF"),
        min_length=1,
        description="Picture formats to accept, commas between; also known: AVIF, HEIC (needs pi-heif), TIFF, BMP. "
        "Every parser more is a door more.",
    )
    max_in_flight: int = Field(
        64,
        ge=1,
        description="Most classify and predict requests at work at once; more are turned away with 503.",
    )
    replica_max_in_flight: int = Field(32, ge=1, description="Most attempts at work at once on one replica.")
    queue_size: int = Field(64, ge=0, description="Most requests that wait for a place at a replica.")
    max_ejected_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest share of the ready replicas to put out of turn for failures at a time. 0..1.",
    )
    decode_processes: int = Field(
        CORES,
        ge=1,
        le=256,
        description="Processes that decode pictures; as many large ones may be decoded beside them. "
        "Default: one a core.",
    )
    decode_budget_bytes: int = Field(
        256 * MIB, ge=MIB, description="Most memory that large pictures may take together while decoded. Bytes."
    )

    # --- Logs ---
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json, text for reading, or auto: text on a terminal and json elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line to log.")

    @field_validator("cors_origins", "image_formats", "trusted_proxies", mode="before")
    @classmethod
    def split_commas(cls, value: object, field: ValidationInfo) -> object:
        """`a, b` -> ("a", "b"); formats in any case."""
        if not isinstance(value, str):
            return value
        listed = value.upper() if field.field_name == "image_formats" else value
        return tuple(part.strip() for part in listed.split(",") if part.strip())

    @model_validator(mode="after")
    def upstream_is_an_address(self) -> Self:
        """Fail at the start, not at the first request."""
        for address in self.upstream_addresses:
            rest, slash, grpc_port = address.partition("/")
            host, _, port = rest.rpartition(":")
            if not host or not port.isdecimal() or grpc_port.isdecimal() != bool(slash):
                raise ValueError(f"upstream: {address!r} is not HOST:PORT (nor HOST:PORT/GRPCPORT nor dns://NAME:PORT)")
        if self.upstream_is_dns and (len(self.upstream_addresses) != 1 or "/" in self.upstream_addresses[0]):
            raise ValueError("upstream: dns:// takes exactly one NAME:PORT")
        return self

    @model_validator(mode="after")
    def one_body_fits(self) -> Self:
        """Else the largest body allowed would never be."""
        if self.max_bodies_bytes < max(self.max_upload_bytes, self.max_batch_bytes, self.max_predict_bytes):
            raise ValueError("max_bodies_bytes: less than the largest single body that is allowed")
        return self

    @model_validator(mode="after")
    def embedded_replicas_have_a_model(self) -> Self:
        """They would otherwise wait for it for ever."""
        folder = self.models_dir / self.model_name
        if not self.upstream and not any(path.name.isdecimal() for path in folder.glob("*/")):
            raise ValueError(
                f"there is no model in {folder}; make the demo model with `python -m training demo`, "
                "or name running TensorFlow Serving replicas with GATEWAY_UPSTREAM"
            )
        return self

    @model_validator(mode="after")
    def one_picture_fits_the_budget(self) -> Self:
        """It could otherwise never be decoded."""
        if self.max_decoded_bytes > self.decode_budget_bytes:
            raise ValueError(
                f"max_decoded_bytes ({self.max_decoded_bytes}) is more than decode_budget_bytes "
                f"({self.decode_budget_bytes}): raise GATEWAY_DECODE_BUDGET_BYTES, or lower GATEWAY_MAX_DECODED_BYTES"
            )
        return self

    @property
    def upstream_is_dns(self) -> bool:
        """Every address of one name is a replica."""
        return self.upstream.startswith("dns://")

    @property
    def upstream_addresses(self) -> tuple[str, ...]:
        """HOST:PORT each; for dns:// the one name to look up. Empty when embedded."""
        listed = self.upstream.removeprefix("dns://").split(",")
        return tuple(address.strip().removeprefix("http://").rstrip("/") for address in listed if address.strip())
