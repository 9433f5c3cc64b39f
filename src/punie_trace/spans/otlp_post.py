"""Posts OTLP requests over HTTP one at a time, and says exactly what became of each.

All that leaves this package for a collector goes through here: while a run is measured, one try in bounded time; when a
finished run is sent, as often and as patiently as the receiver asks. An answer is a success only where it is one: a
redirect, a page, or more than `ANSWER_LIMIT` bytes, of which no more are read, are no receiver's.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping
from gzip import compress
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import httpx2

from punie_trace import http_clients
from punie_trace.errors import ExportError
from punie_trace.spans.otlp_endpoint import shown, split_url

Signal: TypeAlias = Literal["TRACES", "METRICS"]

TIMEOUT_S: Final = 10.0
"""For a whole request, its answer included."""
ANSWER_LIMIT: Final = 64 * 1024
TRIES: Final = 6
LONGEST_WAIT_S: Final = 15.0
_FIRST_WAIT_S: Final = 0.5
_BUSY: Final = (429, 502, 503, 504)  # the specification's list of what may be tried again
_ERROR_LIMIT: Final = 200


class BodyTooLargeError(Exception):
    """The receiver takes no body of this size."""


class RefusedError(Exception):
    """The receiver understood the request and does not want what is in it."""


class OtlpPost:
    """A connection to one endpoint of a receiver, for one thread at a time.

    `OTEL_EXPORTER_OTLP_HEADERS`, `_CERTIFICATE`, `_CLIENT_CERTIFICATE`, `_CLIENT_KEY` and `_COMPRESSION` of `environ`
    are honoured, and before them those that are for this signal only; `gzip` is what counts where the environment
    does not say how to compress. `headers` go with every request. Raises ExportError where the address is none, or a
    certificate cannot be read, and ConfigurationError where the environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        endpoint: str,
        signal: Signal,
        environ: Mapping[str, str] = os.environ,
        *,
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
        gzip: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if split_url(endpoint) is None:
            raise ExportError(
                f"{shown(endpoint)} is no address of a collector: give one such as http://127.0.0.1:4318/v1/traces."
            )
        self.endpoint = endpoint
        self._signal = signal
        self._environ = environ
        self._sleep = sleep
        self._timeout_s = timeout_s
        compression = self._setting("COMPRESSION")
        self._gzip = gzip if compression is None else compression.strip().lower() == "gzip"
        sent = {**self._headers(), **(headers or {}), "content-type": "application/x-protobuf"}
        if self._gzip:
            sent["content-encoding"] = "gzip"
        sent["accept-encoding"] = "identity"
        self._client = http_clients.client(endpoint, headers=sent, timeout=timeout_s, verify=self._tls())

    def send(self, body: bytes, *, tries: int = TRIES) -> bytes:
        """Post one serialized request; the beginning of the response's body.

        A receiver that is busy is asked again, `tries` times in all, after as long as it says and 15 s at most. Raises
        BodyTooLargeError, RefusedError, or ExportError where nothing more can be sent there.
        """
        packed = compress(body, compresslevel=5) if self._gzip else body
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, tries + 1):
            try:
                status, headers, answer = self._post(packed)
            except httpx2.HTTPError as error:
                if attempt == tries:
                    raise ExportError(self._unreachable(error)) from error
                self._sleep(wait_s)
            else:
                if status not in _BUSY:
                    return self._settled(status, headers, answer)
                if attempt == tries:
                    times = "" if tries == 1 else f" {tries} times"
                    raise ExportError(
                        f"{shown(self.endpoint)} is busy: it answered {status}{times}. Try again later; sending twice "
                        "does no harm."
                    )
                self._sleep(_retry_after(headers) or wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        raise AssertionError("the last attempt returns or raises")

    def _post(self, packed: bytes) -> tuple[int, httpx2.Headers, bytes]:
        """Status, headers and the body up to one byte over its limit, read in bounded time."""
        deadline = time.monotonic() + self._timeout_s
        answer = b""
        with self._client.stream("POST", self.endpoint, content=packed) as response:
            for data in response.iter_raw():
                answer += data
                if len(answer) > ANSWER_LIMIT:
                    break
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("its answer does not end")
        return response.status_code, response.headers, answer[: ANSWER_LIMIT + 1]

    def probe(self) -> None:
        """Send an empty request: is this a receiver? Raises ExportError where it is not."""
        try:
            self.send(b"", tries=1)
        except (RefusedError, BodyTooLargeError) as error:
            raise ExportError(
                f"{shown(self.endpoint)} refuses even an empty request ({error or 'too large'}): it is no OTLP/HTTP "
                "receiver, or the path is wrong."
            ) from error

    def _settled(self, status: int, headers: httpx2.Headers, answer: bytes) -> bytes:
        where = shown(self.endpoint)
        if status == 413:
            raise BodyTooLargeError
        if status == 400:
            raise RefusedError(_reason(headers, answer))
        if status in (401, 403):
            raise ExportError(
                f"{where} answers {status}: it wants other credentials. Set OTEL_EXPORTER_OTLP_HEADERS, for example "
                "'authorization=Bearer …'."
            )
        good, page = 200 <= status < 300, headers.get("content-type", "").startswith("text/html")
        if not good or page or len(answer) > ANSWER_LIMIT:
            what = "spans" if self._signal == "TRACES" else "metrics"
            beside = " with a page" if page else f" with more than {ANSWER_LIMIT // 1024} KiB"
            raise ExportError(
                f"{where} answers {status}{beside if good else ''} and is no OTLP/HTTP receiver of {what}. Jaeger "
                "takes spans at port 4318, Prometheus takes metrics at /api/v1/otlp/v1/metrics if started with "
                "--web.enable-otlp-receiver."
            )
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _setting(self, name: str) -> str | None:
        specific = self._environ.get(f"OTEL_EXPORTER_OTLP_{self._signal}_{name}")
        return specific or self._environ.get(f"OTEL_EXPORTER_OTLP_{name}")

    def _headers(self) -> dict[str, str]:
        from opentelemetry.util.re import parse_env_headers

        return dict(parse_env_headers(self._setting("HEADERS") or "", liberal=True))

    def _tls(self) -> ssl.SSLContext | None:
        authority, own, key = map(self._setting, ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"))
        if not authority and not own:
            return None
        try:
            context = ssl.create_default_context(cafile=authority)
            if own:
                context.load_cert_chain(own, key)
        except OSError as error:  # ssl.SSLError is one
            raise ExportError(
                f"The certificate for {shown(self.endpoint)} cannot be used: {error}. Correct "
                "OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE or _CLIENT_KEY."
            ) from error
        return context

    def _unreachable(self, error: httpx2.HTTPError) -> str:
        where, what = shown(self.endpoint), str(error) or type(error).__name__
        if "CERTIFICATE" in what.upper() or "SSL" in what.upper():
            return f"{where}: TLS failed ({what}). OTEL_EXPORTER_OTLP_CERTIFICATE names the authority to trust."
        return f"{where} cannot be reached ({what}). Start the collector, or correct the address."


def _retry_after(headers: httpx2.Headers) -> float | None:
    text = headers.get("retry-after", "")
    return min(float(text), LONGEST_WAIT_S) if text.isascii() and text.isdigit() else None


def _reason(headers: httpx2.Headers, answer: bytes) -> str:
    """What the receiver says of a bad request: an OTLP status message, or plain text."""
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    if headers.get("content-type", "").startswith("application/x-protobuf"):
        try:
            return Status.FromString(answer).message[:_ERROR_LIMIT]
        except DecodeError:
            return "an error that cannot be read"
    return answer.decode("utf-8", "replace").strip()[:_ERROR_LIMIT]


def rejected_spans(answer: bytes) -> tuple[int, str]:
    """How many spans of a request the receiver did not want, and why, by the answer to it."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return 0, ""  # an answer in another form, as a receiver may give that accepts all
    return max(partial.rejected_spans, 0), partial.error_message
