"""Spans to OpenTelemetry, where it is installed (the extra `otel`) and its standard variables ask for it.

Only this file imports opentelemetry, and only when it is asked for. Everything else is set by the SDK's own
variables: OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_BSP_*.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from gateway.observe.tracing import Attribute, Recorder, Span, Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OpenSpan
    from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVICE = "specimen-gateway"

log = structlog.get_logger()


def recorder(environment: Mapping[str, str]) -> Recorder | None:
    """A recorder that sends spans as the variables say; None where they ask for none, or the extra is missing."""
    if not wanted(environment):
        return None
    try:
        return OpenTelemetry(_tracer(environment))
    except ImportError as missing:
        log.error(
            "no traces", reason=f"{missing}: pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
        )
        return None


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether an endpoint or an exporter is named, and nothing switches traces off."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none"
    return not off and (bool(exporter) or any(environment.get(name) for name in ENDPOINTS))


def _tracer(environment: Mapping[str, str]) -> "Tracer":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(_exporter(environment.get("OTEL_TRACES_EXPORTER", ""))))
    return provider.get_tracer("specimen")  # the provider sends the remaining spans when the process ends


def _exporter(name: str) -> "SpanExporter":
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


class OpenTelemetry:
    """A `tracing.Recorder` on OpenTelemetry's SDK."""

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer

    @contextmanager
    def span(
        self, name: str, trace: Trace, attributes: Mapping[str, Attribute], *, serves: bool
    ) -> Iterator[tuple[Trace, Span]]:
        """A span under the trace's innermost one. Of an exception only the type is recorded."""
        from opentelemetry.trace import SpanKind, StatusCode

        kind = SpanKind.SERVER if serves else SpanKind.CLIENT if name == "attempt" else SpanKind.INTERNAL
        opened = self._tracer.start_span(name, _parent(trace), kind, dict(attributes))
        try:
            yield _inside(trace, opened), _Noted(opened)
        except BaseException as error:
            opened.set_attribute("error.type", type(error).__name__)
            opened.set_status(StatusCode.ERROR)
            raise
        finally:
            opened.end()


def _parent(trace: Trace) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

    if not trace.parent_id:
        return Context()
    caller = SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(trace.flags),
        trace_state=TraceState.from_header([trace.state] if trace.state else []),
    )
    return set_span_in_context(NonRecordingSpan(caller), Context())


def _inside(trace: Trace, opened: "OpenSpan") -> Trace:
    context = opened.get_span_context()
    return Trace(
        trace.request_id,
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        int(context.trace_flags),
        context.trace_state.to_header(),
    )


class _Noted:
    def __init__(self, opened: "OpenSpan") -> None:
        self._opened = opened

    def note(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """See `tracing.Span`."""
        self._opened.update_name(name)
        self._opened.set_attributes(dict(attributes))
