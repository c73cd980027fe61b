"""What an operator can set: one frozen object, read once in `__main__` and passed as an argument after that.

Every field is an environment variable (`GATEWAY_PORT`) and a flag (`--port`); the flag wins.
The reference table is generated from the descriptions below (`tests/documents.py`).
"""

import os
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FilePath, IPvAnyNetwork, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.http.origins import as_origin

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
Origin = Annotated[str, AfterValidator(as_origin)]
Comma = NoDecode  # lists are written a,b,c; pydantic-settings expects JSON

_ADDRESS = re.compile(r"[^/]+:([0-9]{1,9})(?:/([0-9]{1,9}))?", re.ASCII)
"""HOST:PORT or HOST:PORT/GRPCPORT."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""CPU cores this process may use; a container's cpuset counts, its CFS quota does not."""


class Settings(BaseSettings):
    """Specimen's gateway: photos in over HTTP, TensorFlow Serving behind it, class names out.

    Every flag is also an environment variable: --port 9000 is GATEWAY_PORT=9000. The flag wins.
    """

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_",
        env_ignore_empty=True,  # a Compose file passes a variable that is not set as an empty string
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_prog_name="python -m gateway",
        validate_default=True,
    )

    # --- Where it listens ---
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. 0.0.0.0 listens on every IPv4 interface, and :: on every interface.",
    )
    port: int = Field(8080, ge=1, le=65535, description="TCP port to listen on.")
    cors_origins: Annotated[tuple[Origin, ...], Comma] = Field(
        (),
        description="Origins whose pages may call the API, separated by commas: https://www.example.org, with its port "
        "where that is not the scheme's own; * for all. The log names each page that was refused.",
    )

    # --- Who may call ---
    api_keys_file: FilePath | None = Field(
        None,
        description="File of callers and the hashes of their API keys, one NAME:SHA256 a line; "
        "`python -m gateway.auth NAME` makes one. Read at the start. Empty: no key is needed.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], Comma] = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For is believed, separated by commas. The "
        "client's address limits wrong API keys, decides which callers get the canary, and names the caller whose "
        "share a request without a key takes: behind a proxy that is not listed, all clients are one caller.",
    )

    # --- Model servers ---
    upstream: str = Field(
        "",
        description="The TensorFlow Serving replicas: HOST:PORT, separated by commas, or dns://NAME:PORT, which treats "
        "every address the name resolves to as a replica. Empty: the gateway starts its own replicas.",
    )
    transport: Literal["rest", "grpc"] = Field(
        "rest",
        description="Which of TensorFlow Serving's APIs the gateway uses for its own calls; grpc pays for models that "
        "take floats. Clients' calls to `/v1/models/NAME` always go over REST.",
    )
    grpc_port: int = Field(
        8500,
        ge=1,
        le=65535,
        description="The replicas' gRPC port; HOST:PORT/GRPCPORT in GATEWAY_UPSTREAM names another one for a replica.",
    )
    embedded_replicas: int = Field(
        2, ge=1, le=64, description="Model servers that the gateway starts when GATEWAY_UPSTREAM is empty."
    )
    models_dir: Path = Field(
        Path("models"), description="Folder with the embedded replicas' models, as NAME/VERSION/ in it."
    )
    model_name: str = Field(
        "my_model",
        pattern=r"^[^/:%?#\s]+$",
        description="Name of the model on the replicas, as in their /v1/models/NAME, without space, slash or colon.",
    )

    balancer: Literal["round-robin", "least-loaded"] = Field(
        "round-robin",
        description="How the next replica is chosen. round-robin: equal shares; least-loaded: the less loaded of two "
        "drawn at random, so that a slow replica gets fewer requests.",
    )
    hedge: bool = Field(
        False,
        description="Ask a second replica when the first takes unusually long (twice the 95th percentile, at least "
        "50 ms), and use the answer that comes first. Each counts against the retry budget.",
    )
    canary: str = Field(
        "",
        pattern=r"^$|^[0-9]{1,19}:[0-9]{1,3}(\.[0-9]{1,6})?%$",
        description="VERSION:SHARE%, such as 1602685044:5%: this share of the callers, always the same ones, gets that "
        "version; other callers get it only if they ask for it.",
    )

    # --- A model that does not describe itself ---
    labels_file: FilePath | None = Field(
        None,
        description="Label file of a model without a `describe` signature: one class a line in output order, or a CSV.",
    )
    input_range: InputRange = Field(
        "0..1", description="Range of a colour channel that such a model expects: 0..1, -1..1 or 0..255."
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
        description="Time for an answer once the upload is complete, decoding and retries included, in seconds.",
    )
    attempt_timeout_s: float = Field(
        5, gt=0, le=300, description="Timeout of one attempt at one replica, in seconds; then another is asked."
    )
    decode_cpu_s: float = Field(2, ge=0.05, le=60, description="CPU time for decoding one picture, in seconds.")
    decode_timeout_s: float = Field(
        10, gt=0, le=300, description="Timeout for decoding one picture, however busy the machine is, in seconds."
    )
    decode_wait_s: float = Field(
        1, gt=0, le=60, description="How long a large picture may wait for memory that others use, in seconds."
    )
    connect_timeout_s: float = Field(
        1, gt=0, le=60, description="Timeout for opening a connection to a replica, in seconds."
    )
    probe_interval_s: float = Field(
        1, ge=0.05, le=300, description="Pause between two probes of a replica, in seconds."
    )
    probe_timeout_s: float = Field(1, gt=0, le=60, description="Timeout of one probe, in seconds.")
    dns_refresh_s: float = Field(
        5, ge=0.05, le=3600, description="Pause between two look-ups of a dns:// upstream, in seconds."
    )

    slow_start_s: float = Field(
        5,
        ge=0,
        le=600,
        description="How long the share of a replica that has come back grows to its full size, in seconds.",
    )
    queue_wait_s: float = Field(
        0.2,
        ge=0,
        le=60,
        description="How long a request may wait for a slot in flight, and again for a free replica, before it is "
        "refused with 503, in seconds.",
    )

    # --- Time for clients, in seconds ---
    head_timeout_s: float = Field(
        5,
        gt=0,
        le=300,
        description="Time for the head of a request, from the connection or the head's first byte, in seconds.",
    )
    body_idle_s: float = Field(5, gt=0, le=300, description="Longest pause within a request's body, in seconds.")
    body_timeout_s: float = Field(
        15,
        gt=0,
        le=3600,
        description="How far a body may fall behind GATEWAY_BODY_MIN_BYTES_PER_S, in seconds. Bytes sent early buy no "
        "time; while the gateway does not read, no time passes.",
    )
    body_min_bytes_per_s: int = Field(
        32 * 1024,
        ge=1,
        description="Lowest rate at which a large body may arrive, in bytes per second. Where memory for bodies is "
        "short, one that is more than a second behind it ends first, with 503.",
    )
    send_timeout_s: float = Field(30, gt=0, le=3600, description="Time for a client to read an answer, in seconds.")
    keep_alive_s: float = Field(
        75, gt=0, le=3600, description="How long a connection may stay idle between two requests, in seconds."
    )
    drain_s: float = Field(
        5,
        ge=0,
        le=600,
        description="How long requests are still accepted after SIGTERM while /readyz answers 503, so that load "
        "balancers can stop sending, in seconds. Ctrl-C skips it.",
    )

    # --- Size ---
    max_connections: int = Field(
        4096, ge=1, description="Most open connections of clients; further ones are refused with 503."
    )
    max_head_bytes: int = Field(16 * 1024, ge=1024, description="Largest head of a request, in bytes.")
    max_head_fields: int = Field(64, ge=8, description="Most header fields of a request.")
    max_upload_bytes: int = Field(
        10 * MIB, ge=1024, description="Largest upload of one picture, the form around it included, in bytes."
    )
    max_batch_images: int = Field(16, ge=1, le=1000, description="Most pictures in one batch.")
    max_batch_bytes: int = Field(40 * MIB, ge=1024, description="Largest body of a batch, in bytes.")
    max_predict_bytes: int = Field(
        32 * MIB, ge=1024, description="Largest body on TensorFlow Serving's own paths, in bytes."
    )
    max_bodies_bytes: int = Field(
        256 * MIB,
        ge=1024,
        description="Most memory for the bodies of all requests together, in bytes; further ones are refused with 503. "
        "One caller alone, a key or an address, gets eight ninths of it.",
    )
    max_decoded_bytes: int = Field(
        256 * MIB,
        ge=MIB,
        description="Most memory for decoding one picture, in bytes; estimated from its header.",
    )
    image_formats: Annotated[tuple[ImageFormat, ...], Comma] = Field(
        ("JPEG", "PNG", "WEBP", "GIF"),
        min_length=1,
        description="Picture formats to accept, separated by commas. Also known: AVIF, HEIC (needs pi-heif), TIFF, "
        "BMP. Each extra parser widens the attack surface.",
    )
    max_in_flight: int = Field(
        64,
        ge=1,
        description="Most classify and predict requests in progress; further ones wait (GATEWAY_QUEUE_SIZE, "
        "GATEWAY_QUEUE_WAIT_S), then are refused with 503. One caller "
        "alone gets eight ninths of them, several get equal shares. A request whose body is still arriving does not "
        "count, so slow clients cannot take the slots. Also the most pictures in progress of all batches together; "
        "further ones wait.",
    )
    replica_max_in_flight: int = Field(32, ge=1, description="Most attempts in progress at one replica.")
    queue_size: int = Field(
        64,
        ge=0,
        description="Most requests that wait for a slot in flight, and most that wait for a free replica; further ones "
        "are refused with 503 at once. Callers have turns; one alone gets eight ninths.",
    )
    max_ejected_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest share of the ready replicas that may be ejected for failures at the same time.",
    )
    decode_processes: int = Field(
        CORES,
        ge=1,
        le=256,
        description="Processes that decode pictures; as many again may decode large ones. Default: one per core.",
    )
    decode_budget_bytes: int = Field(
        256 * MIB, ge=MIB, description="Most memory for all large pictures that are being decoded, in bytes."
    )

    # --- Logs ---
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json; text, for reading; or auto: text on a terminal and json elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lines below this level are not written."
    )

    @field_validator("cors_origins", "image_formats", "trusted_proxies", mode="before")
    @classmethod
    def split_at_commas(cls, value: object, field: ValidationInfo) -> object:
        """`a, b` -> ("a", "b"); formats in any case."""
        if not isinstance(value, str):
            return value
        listed = value.upper() if field.field_name == "image_formats" else value
        return tuple(part.strip() for part in listed.split(",") if part.strip())

    @field_validator("upstream")
    @classmethod
    def upstream_is_an_address(cls, upstream: str) -> str:
        """A wrong address fails at the start, not at the first request."""
        addresses = addresses_in(upstream)
        for address in addresses:
            if not (parts := _ADDRESS.fullmatch(address)):
                raise ValueError(f"{address!r} is not HOST:PORT (nor HOST:PORT/GRPCPORT nor dns://NAME:PORT)")
            if wrong := [port for port in parts.groups("1") if not 1 <= int(port) <= 65535]:
                raise ValueError(f"{address!r} has the port {wrong[0]}; ports are 1 to 65535")
        if upstream.startswith("dns://") and (len(addresses) != 1 or "/" in addresses[0]):
            raise ValueError("dns:// takes exactly one NAME:PORT")
        return upstream

    @model_validator(mode="after")
    def one_body_fits(self) -> Self:
        """Otherwise the largest body that is allowed would always be refused."""
        if self.max_bodies_bytes < max(self.max_upload_bytes, self.max_batch_bytes, self.max_predict_bytes):
            raise ValueError(
                f"GATEWAY_MAX_BODIES_BYTES ({self.max_bodies_bytes}) is less than the largest single body: raise it, "
                "or lower GATEWAY_MAX_UPLOAD_BYTES, GATEWAY_MAX_BATCH_BYTES and GATEWAY_MAX_PREDICT_BYTES"
            )
        return self

    @model_validator(mode="after")
    def embedded_replicas_have_a_model(self) -> Self:
        """Otherwise they would wait for it for ever."""
        folder = self.models_dir / self.model_name
        if not self.upstream_addresses and not any(path.name.isdecimal() for path in folder.glob("*/")):
            raise ValueError(
                f"GATEWAY_MODELS_DIR: there is no model in {folder}; make the demo model with "
                "`python -m training demo`, or name running TensorFlow Serving replicas with GATEWAY_UPSTREAM"
            )
        return self

    @model_validator(mode="after")
    def one_picture_fits_the_budget(self) -> Self:
        """Otherwise the largest picture that is allowed could never be decoded."""
        if self.max_decoded_bytes > self.decode_budget_bytes:
            raise ValueError(
                f"GATEWAY_MAX_DECODED_BYTES ({self.max_decoded_bytes}) is more than GATEWAY_DECODE_BUDGET_BYTES "
                f"({self.decode_budget_bytes}): raise the budget, or lower the limit of one picture"
            )
        return self

    @property
    def upstream_is_dns(self) -> bool:
        """Whether the upstream is one name, every address of which is a replica."""
        return self.upstream.startswith("dns://")

    @property
    def upstream_addresses(self) -> tuple[str, ...]:
        """HOST:PORT each; for dns:// the one name to look up. Empty for embedded replicas."""
        return addresses_in(self.upstream)


def addresses_in(upstream: str) -> tuple[str, ...]:
    """`a:1, http://b:2/` -> ("a:1", "b:2")."""
    listed = upstream.removeprefix("dns://").split(",")
    return tuple(address.strip().removeprefix("http://").rstrip("/") for address in listed if address.strip())
