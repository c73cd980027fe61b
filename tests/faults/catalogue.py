"""The fault catalogue: one row for each fault, with the required reaction. `docs/faults.md` shows all rows.

Limits and times are settings. A row states the rule; its test uses the figures.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One row."""

    row: str
    happens: str
    must: str
    """The required reaction."""


UPSTREAM = (
    Fault("1", "A replica is killed while idle", "No request fails; it is unavailable after at most two failures"),
    Fault("2", "A replica is killed in the middle of a request", "Another replica answers, within the deadline"),
    Fault(
        "2b",
        "A replica dies of one particular request, whichever replica it is",
        "At most one replica dies of it, however often it is sent; no other request fails",
    ),
    Fault("3", "A replica dies half-way through its answer", "The part is never used; another replica answers"),
    Fault(
        "4",
        "A replica hangs: connections open, no answer",
        "No request fails; it is ejected; no place is lost",
    ),
    Fault("5", "A hung replica resumes after ten seconds", "It returns after good probes; late answers are discarded"),
    Fault("6", "A replica is slow", "Least-loaded balancing sends it fewer requests; none fails"),
    Fault("7", "One replica answers 500 occasionally", "No request fails; attempts stay within the retry budget"),
    Fault("8", "Replicas answer 429 or 503", "Another replica is asked once; if all are busy: 503 with Retry-After"),
    Fault("9", "A replica answers 400: the model does not fit", "No retry or ejection; 502 without its text"),
    Fault("10", "A replica has not loaded the model: 404", "Another replica answers; if no replica has it: 503"),
    Fault("11", "A replica answers with bytes that are not JSON", "Another replica answers, or 502; never 500"),
    Fault("12", "A replica answers 200 with an HTML page", "As for bytes that are not JSON"),
    Fault("13", "Probabilities are NaN or infinite", "No client receives them; another replica answers, or 502"),
    Fault("14", "Too few, too many or no probabilities", "502, never a label that is off by one"),
    Fault("15", "Probabilities are outside 0 to 1, or do not sum to 1", "502, never silently accepted"),
    Fault("16", "An answer is shorter than its announced length", "Another replica answers"),
    Fault("17", "An answer never ends", "Reading stops at a limit; memory stays constant; 502"),
    Fault("18", "An answer arrives one byte a second", "The deadline applies to the whole answer, not to each read"),
    Fault("19", "An answer is nested 100,000 deep", "The parser's error becomes 502"),
    Fault("20", "A connection is reset while sending or reading", "A new connection to another replica; none fails"),
    Fault(
        "21",
        "A replica has closed a keep-alive connection",
        "One more attempt, invisible outside; no request fails",
    ),
    Fault(
        "22",
        "A replica's address ignores connection attempts",
        "Connecting has its own short timeout; no request fails",
    ),
    Fault("23", "A peer disappears without closing", "The deadline limits the wait; the place is released"),
    Fault("24", "A replica answers before it has read the request", "No hang; the connection is not reused"),
    Fault("25", "A replica sends two answers for one request", "The second is discarded"),
    Fault(
        "26",
        "All replicas are down",
        "503 with Retry-After at once; live, not ready; quick recovery",
    ),
    Fault("27", "Three times more requests than capacity", "The excess is shed quickly; the rest is served"),
    Fault("28", "A replica is added", "It is used within seconds; no request fails"),
    Fault("29", "A replica is removed", "It gets no new requests and finishes those it has"),
    Fault("30", "DNS fails or returns no address", "The last good addresses stay in use; no request fails"),
    Fault(
        "31",
        "The model version changes under load",
        "No request fails; labels and version of an answer agree",
    ),
    Fault("32", "All replicas are restarted, one after the other", "No request fails"),
    Fault("33", "Replicas serve different versions", "Every answer names its version; the operator sees all"),
    Fault("34", "A replica goes down and up every second", "Each ejection lasts longer; no request fails"),
    Fault("35", "A replica fails faster than the others answer", "It does not attract traffic; it is ejected"),
    Fault("35b", "The gateway itself is suspended for a second", "No healthy replica is ejected"),
)

CLIENTS = (
    Fault(
        "36",
        "A client disconnects during an upload",
        "Its place is free within a second; one line, no traceback",
    ),
    Fault(
        "37",
        "A client disconnects during its prediction",
        "The request ends; 10,000 of them leave nothing behind",
    ),
    Fault("38", "Headers arrive one byte a second", "408 and closed in time; other clients are not affected"),
    Fault("39", "A body arrives one byte a second, or stops", "408 and closed in time; little memory for each"),
    Fault(
        "39b",
        "Eight uploads of 32 MiB stop just before their end, a byte a second",
        "No other caller's request fails, small or large; all are over after the time limit",
    ),
    Fault("40", "A connection receives no bytes", "Closed in time, without a log line"),
    Fault("41", "A client does not read its answer", "Closed in time; the buffer is bounded"),
    Fault(
        "41b",
        "Thousands of clients read nothing, of every route",
        "One descriptor each, documents not copied; no other request fails",
    ),
    Fault("42", "10,000 connections at once", "No crash; 503 above the limit; normal traffic continues"),
    Fault("43", "Very large headers, 200,000 headers, a URL of a megabyte", "431 or 414 after a bounded read; closed"),
    Fault("44", "Requests with an ambiguous length", "400 and closed; no second request is executed"),
    Fault("45", "An upload announces 100 MB", "413 and closed before the body is read; nothing on disk"),
    Fault("46", "A chunked upload exceeds the limit", "413 at the limit; memory stays constant; nothing on disk"),
    Fault("47", "Expect: 100-continue before a body that is too large", "413 without 100: the body is never sent"),
    Fault(
        "48",
        "Content-Length is longer or shorter than the body",
        "408, or 400 for the rest; requests never mix",
    ),
    Fault("49", "The body of an upload is compressed", "415: nothing is decompressed, so no bomb can work"),
    Fault("50", "The Content-Type is wrong", "415 that lists the accepted types; without one the bytes decide"),
    Fault("51", "A form without a boundary, or with one of 300 bytes", "400"),
    Fault("52", "A form of 100,000 parts, or with very large part headers", "400 at the first excess part; little CPU"),
    Fault("53", "The file field appears twice", "400; frameworks silently use the last one"),
    Fault("54", "A form ends before its closing boundary", "400; frameworks accept the part received"),
    Fault("55", "The file part has no file name and no type; thousands of fields", "400; little is buffered"),
    Fault("56", "File names with paths, NUL, 64 KiB or line breaks", "Never used, never logged"),
    Fault(
        "57",
        "JSON nested 100,000 deep, huge numbers, broken UTF-8",
        "400 from the gateway; no replica gets it",
    ),
    Fault(
        "57b",
        "Predict, classify and regress bodies that kill a model server: of another shape, deep, many, long, packed",
        "4xx; no replica gets them; no process is lost; no other request fails",
    ),
    Fault("58", "Text that is not base64, or uses another alphabet", "400 or 415; never a partial decode"),
    Fault("59", "Base64 or JSON above the limit", "413 while it is being read"),
    Fault("60", "Unusual methods and paths", "404 or 405; no file is served, no redirect"),
    Fault("61", "Pages of another origin", "No CORS header; never a wildcard with credentials"),
    Fault("62", "API keys are guessed", "401, compared in constant time; 429 after ten; never logged"),
    Fault("63", "X-Forwarded-For is forged", "Accepted from listed proxies only"),
    Fault("64", "X-Request-ID or a trace header is forged", "Replaced; one line of JSON per request"),
    Fault("65", "10,000 random paths; /metrics from outside", "The metrics do not grow; an API key protects them"),
)

PICTURES = (
    Fault("66", "34 bytes of WebP that request 1.3 GB", "422 from the header; memory stays constant"),
    Fault("67", "PNG, JPEG, GIF, TIFF and BMP of 88 to 400 megapixels", "422 or 415 from the header"),
    Fault("68", "A progressive JPEG of 20,000 scans", "422 before decoding"),
    Fault("69", "Headers that never end", "Refused or served in time; the event loop is not blocked"),
    Fault("70", "Compressed text and colour profiles that expand", "Not unpacked; memory stays constant"),
    Fault("71", "Animations of 3,000 frames", "The first frame is used; the others cost nothing"),
    Fault("72", "Truncated pictures", "422 while pixels are missing; never a prediction"),
    Fault("73", "Files that are valid in two formats", "The picture is used; the rest is ignored"),
    Fault("74", "File name or Content-Type contradicts the picture", "The bytes decide"),
    Fault("75", "EPS, SVG, PSD, JPEG 2000, ICO, TIFF, PDF, HTML", "415; no parser runs"),
    Fault("76", "MPO, the JPEG of some phones", "Served, first frame"),
    Fault("77", "CMYK, YCCK and inverted JPEG", "The same colours as the ordinary equivalent"),
    Fault("78", "16-bit grey PNG", "Scaled, not clipped"),
    Fault("79", "Palettes and transparency", "Shown on white; hidden colours are not visible"),
    Fault("80", "1-bit, LA, PA, LAB and other modes", "Served as RGB"),
    Fault("81", "Every EXIF orientation, and broken EXIF", "Displayed upright; broken EXIF is ignored"),
    Fault("82", "Broken or very large colour profiles", "Ignored; the picture is served"),
    Fault("83", "Empty files, one byte, only a file signature", "422 or 415"),
    Fault("84", "Extreme shapes, such as 1 x 65,000 pixels", "Served or 422; no crash"),
    Fault("85", "10,000 mutated pictures", "Never 5xx; the gateway keeps running; memory stays constant"),
    Fault("86", "A decode process crashes", "Only that request fails; the process is replaced at once"),
)

PROCESS = (
    Fault("87", "SIGTERM under load", "Not ready at once, still serving for a while, exit 0; no request fails"),
    Fault("88", "SIGTERM with a stalled upload", "Exit 0 within the grace period"),
    Fault("89", "The grace period ends with a request in progress", "503 shutting-down, not 500 and a traceback"),
    Fault("90", "A worker process is killed", "Only its requests fail; it is replaced"),
    Fault("91", "A worker process is stopped", "It is replaced"),
    Fault("92", "The gateway is killed", "None of its child processes survives"),
    Fault("93", "Disk full, read-only file system", "Nothing is written; pictures are served"),
    Fault("94", "No file descriptors left", "503 above the limit, few log lines; normal again within seconds"),
    Fault("94b", "No descriptor free for a decode process or a replica", "503 with Retry-After; no replica is blamed"),
    Fault("95", "50 of the most expensive pictures at once in 512 MB", "No kill by the kernel; the excess gets 503"),
    Fault(
        "95b", "One caller sends the most expensive pictures, 64 at once", "It gets 503; no request of another fails"
    ),
    Fault("96", "The event loop is blocked for a second", "A metric shows it; /healthz is correct"),
    Fault("97", "The clock jumps by an hour", "Deadlines and limits use a monotonic clock"),
    Fault("98", "The log's reader has stopped", "Requests continue; lines are dropped and counted"),
    Fault("98b", "Requests written to fill the log, or to put values into it", "Lines of 2 KB at most, without values"),
    Fault(
        "99",
        "A setting is wrong, labels are missing or do not fit",
        "One line that names the mistake, and no start",
    ),
    Fault("100", "The gateway starts before any replica", "Live, not ready; serves soon after the first replica is up"),
    Fault("101", "1,000 requests in the first second", "No crash; the excess is shed; then normal service"),
    Fault("102", "Hours of load with faults", "Memory, files, tasks and threads stay constant"),
)

SECTIONS = {
    "Replicas": UPSTREAM,
    "Clients and HTTP": CLIENTS,
    "Pictures": PICTURES,
    "Process and platform": PROCESS,
}
ROWS = {fault.row: fault for faults in SECTIONS.values() for fault in faults}

NOT_OURS = {
    "90": "each container runs one gateway process; the orchestrator starts a new one",
    "91": "each container runs one gateway process; the orchestrator notices through its liveness probe",
}
"""Rows without a test, with the reason."""
