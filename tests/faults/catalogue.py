"""The fault catalogue: what can go wrong, and what must then follow. A row each; `docs/faults.md` shows them all.

Parameters such as limits and times are settings; a row names the rule, its test the figures.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One row."""

    row: str
    happens: str
    must: str
    """What must follow; what must not."""


UPSTREAM = (
    Fault("1", "A replica is killed while idle", "No request fails; it is out of turn after two failures at most"),
    Fault("2", "A replica is killed in the middle of a request", "Another one answers, within the deadline"),
    Fault("3", "A replica dies half-way through its answer", "The half is never read as an answer; another answers"),
    Fault("4", "A replica hangs: connections open, no answer", "No request fails; it is ejected; no place is lost"),
    Fault(
        "5", "A hung replica goes on after ten seconds", "It returns after good probes; late answers reach no client"
    ),
    Fault("6", "A replica is slow", "Least-loaded balancing sends it less; no request fails"),
    Fault("7", "One replica answers 500 now and then", "No request fails; attempts stay within the retry budget"),
    Fault("8", "Replicas answer 429 or 503", "Another is asked once; where all are busy: 503 with Retry-After"),
    Fault("9", "A replica answers 400: a model that does not fit", "No retry, no ejection; 502 without its words"),
    Fault("10", "A replica has not loaded the model: 404", "Another answers; where none has it: 503"),
    Fault("11", "A replica answers with bytes that are no JSON", "Another answers, or 502; never 500"),
    Fault("12", "A replica answers 200 with a page of HTML", "As for bytes that are no JSON"),
    Fault("13", "Probabilities are NaN or infinite", "No client sees them; another answers, or 502"),
    Fault("14", "Too few, too many or no probabilities", "502, never a label that is off by one"),
    Fault("15", "Probabilities outside 0 to 1, or that do not sum to 1", "502, never relabelled in silence"),
    Fault("16", "An answer is cut although its length was told", "Another replica answers"),
    Fault("17", "An answer never ends", "Reading stops at a bound; memory stays flat; 502"),
    Fault("18", "An answer drips, a byte a second", "The deadline holds for the whole, not for each read"),
    Fault("19", "An answer is nested 100,000 deep", "The parser's failure becomes 502"),
    Fault("20", "A connection is reset while sending or reading", "A new connection to another replica; no failure"),
    Fault("21", "A kept connection was closed by the replica", "One more try, unseen; no failure"),
    Fault("22", "A replica's address swallows connections", "Connecting has its own, short limit; no failure"),
    Fault("23", "A peer vanishes without closing", "The deadline bounds it; the place comes back"),
    Fault("24", "A replica answers before it has read the request", "No hang; the connection is not used again"),
    Fault("25", "A replica sends two answers for one request", "The second reaches no client"),
    Fault("26", "All replicas are down", "503 with Retry-After at once; alive but not ready; back soon after them"),
    Fault("27", "Three times more requests than the replicas can do", "The excess is shed fast; the rest is served"),
    Fault("28", "A replica is added", "It is used within seconds; no failure"),
    Fault("29", "A replica is taken away", "It gets no new request; what it has is finished"),
    Fault("30", "DNS fails or answers nothing", "The last good addresses stay; no failure"),
    Fault("31", "The model version changes under load", "No failure; labels and version of an answer belong together"),
    Fault("32", "All replicas are restarted, one after the other", "No failure"),
    Fault("33", "Replicas serve different versions", "Every answer names its own; the operator sees it"),
    Fault("34", "A replica goes up and down every second", "It stays out longer each time; no failure"),
    Fault("35", "A replica fails faster than the others work", "It does not attract traffic; it is ejected"),
    Fault("35b", "The gateway itself stands still for a second", "No healthy replica is ejected for it"),
)

CLIENTS = (
    Fault("36", "A client leaves in mid-upload", "Its place is free within a second; one line, no traceback"),
    Fault("37", "A client leaves while a replica works for it", "The request ends; 10,000 times leave nothing behind"),
    Fault("38", "Headers come a byte a second", "408 and closed in time; others do not notice"),
    Fault("39", "A body comes a byte a second, or stops", "408 and closed in time; little memory each"),
    Fault("40", "A connection on which nothing comes", "Closed in time, without a line"),
    Fault("41", "A client does not read its answer", "Cut off in time; the buffer is bounded"),
    Fault("42", "10,000 connections at once", "No crash; 503 beyond the cap; normal traffic goes on"),
    Fault("43", "Giant headers, 200,000 headers, a URL of a megabyte", "431 or 414 after a bounded read; closed"),
    Fault("44", "Requests whose length can be read two ways", "400 and closed; no second request is carried out"),
    Fault("45", "An upload announces 100 MB", "413 and closed before it is read; nothing on disk"),
    Fault("46", "A chunked upload grows over the limit", "413 at the limit; memory flat; nothing on disk"),
    Fault("47", "Expect: 100-continue before too large a body", "413 and no 100: the body is never sent"),
    Fault("48", "Content-Length is longer or shorter than the body", "408, or 400 for the rest; never mixed up"),
    Fault("49", "The body of an upload is compressed", "415: nothing is unpacked, so no bomb"),
    Fault("50", "The Content-Type is wrong or missing", "415 that says what to send"),
    Fault("51", "A form without a boundary, or with one of 300 bytes", "400"),
    Fault("52", "A form of 100,000 parts, or with giant part headers", "400 at the first part too many; cheap"),
    Fault("53", "The file field comes twice", "400, where frameworks take the last one in silence"),
    Fault("54", "A form is cut before its closing boundary", "400, where frameworks take what is there"),
    Fault("55", "The file part has no file name; a bomb of fields", "400; little is buffered"),
    Fault("56", "File names with paths, NUL, 64 KiB or line breaks", "Never used, never logged"),
    Fault("57", "JSON nested 100,000 deep, giant numbers, broken UTF-8", "400 from the replica; the gateway is well"),
    Fault("58", "Base64 that is none, or in another alphabet", "400; never a partial decode"),
    Fault("59", "Base64 or JSON beyond the limit", "413 while it is being read"),
    Fault("60", "Odd methods and paths", "404 or 405; no file is served, no redirect"),
    Fault("61", "Pages of a foreign origin", "No CORS header for them; never a wildcard with credentials"),
    Fault("62", "Guessing of API keys", "401, compared in constant time; 429 after ten; never logged"),
    Fault("63", "X-Forwarded-For is forged", "Believed from listed proxies only"),
    Fault("64", "X-Request-ID or a trace header is forged", "Replaced; one line of JSON a request"),
    Fault("65", "10,000 random paths; /metrics from outside", "The metrics do not grow; a key guards them"),
)

PICTURES = (
    Fault("66", "34 bytes of WebP that ask for 1.3 GB", "422 by the header; memory flat"),
    Fault("67", "PNG, JPEG, GIF, TIFF and BMP of 88 to 400 megapixels", "422 or 415 by the header"),
    Fault("68", "A progressive JPEG of 20,000 scans", "422 before it is decoded"),
    Fault("69", "Headers that go on for ever", "Refused or served in time; the event loop does not wait"),
    Fault("70", "Compressed text and colour profiles that blow up", "422; memory flat"),
    Fault("71", "Animations of 3,000 frames", "The first frame; the others cost nothing"),
    Fault("72", "Pictures cut short", "422; never a prediction"),
    Fault("73", "Files that are two things at once", "The picture counts; the rest is dropped"),
    Fault("74", "Name or Content-Type lie about the picture", "The bytes decide"),
    Fault("75", "EPS, SVG, PSD, JPEG 2000, ICO, TIFF, PDF, HTML", "415; no parser is entered"),
    Fault("76", "MPO, the JPEG of some phones", "Served, first frame"),
    Fault("77", "CMYK, YCCK and inverted JPEG", "The colours of the plain twin"),
    Fault("78", "16-bit grey PNG", "Scaled, not clipped"),
    Fault("79", "Palettes and transparency", "Over white; hidden colours do not leak"),
    Fault("80", "1-bit, LA, PA, LAB and other modes", "Served as RGB"),
    Fault("81", "Every EXIF orientation, and broken EXIF", "Turned right; broken EXIF is ignored"),
    Fault("82", "Broken or huge colour profiles", "Ignored; served"),
    Fault("83", "Empty files, one byte, a magic number alone", "422 or 415"),
    Fault("84", "1 x 65,000 pixels and the like", "Served or 422; no crash"),
    Fault("85", "10,000 mutated pictures", "Never 5xx; the gateway lives; memory flat"),
    Fault("86", "A decode process crashes", "That request alone fails; it is replaced at once"),
)

PROCESS = (
    Fault("87", "SIGTERM under load", "Not ready at once, served a while longer, exit 0; no request fails"),
    Fault("88", "SIGTERM with a stalled upload", "Exit 0 within the grace all the same"),
    Fault("89", "The grace is over with a request at work", "503 shutting-down, not 500 and a traceback"),
    Fault("90", "A worker process is killed", "Its requests alone fail; it is replaced"),
    Fault("91", "A worker process is stopped", "It is replaced"),
    Fault("92", "The gateway is killed", "No process of its own lives on"),
    Fault("93", "Disk full, read-only file system", "Nothing is written: pictures are served"),
    Fault("94", "No file descriptors left", "503 beyond the cap, no flood of lines; back within seconds"),
    Fault("95", "50 of the worst pictures at once in 512 MB", "No kill by the kernel; the excess gets 503"),
    Fault("96", "The event loop is blocked for a second", "A metric shows it; /healthz is honest"),
    Fault("97", "The clock jumps an hour", "Deadlines and limits run on a monotonic clock"),
    Fault("98", "The log is not read", "Requests go on; lines are dropped and counted"),
    Fault("99", "A setting is wrong, labels are missing or do not fit", "A line that says so, and no service"),
    Fault("100", "The gateway is up before any replica", "Alive, not ready; serves soon after the first is there"),
    Fault("101", "1,000 requests in the first second", "No crash; the excess is shed; then all is well"),
    Fault("102", "Hours of work with faults", "Memory, files, tasks and threads stay flat"),
)

SECTIONS = {
    "Replicas": UPSTREAM,
    "Clients and HTTP": CLIENTS,
    "Pictures": PICTURES,
    "Process and platform": PROCESS,
}
ROWS = {fault.row: fault for faults in SECTIONS.values() for fault in faults}

NOT_OURS = {
    "90": "the gateway is one process to a container; the orchestrator starts a new one",
    "91": "the gateway is one process to a container; its liveness probe fails and the orchestrator acts",
}
"""Rows that no test proves, and why."""
