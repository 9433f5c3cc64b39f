"""Middleware of the whole project."""

import logging
import time

logger = logging.getLogger("stacks.requests")

SLOW_REQUEST_SECONDS = 1.0


class RequestTimingMiddleware:
    """Add a Server-Timing header and log slow requests."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        response["Server-Timing"] = f"app;dur={seconds * 1000:.1f}"
        if seconds > SLOW_REQUEST_SECONDS:
            logger.warning("slow request: %s %.2f s", request.path, seconds)
        return response
