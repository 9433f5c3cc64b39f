"""Ways in which a message reaches a member."""

import json
from typing import Protocol

import httpx
from asgiref.sync import sync_to_async
from django.core.mail import send_mail

SENDER = "desk@library.example.org"


class Channel(Protocol):
    """Anything that can carry a message."""

    async def send(self, recipient, subject, body): ...


class EmailChannel:
    """Sends messages by e-mail."""

    async def send(self, recipient, subject, body):
        await sync_to_async(send_mail)(subject, body, SENDER, [recipient.email])


class WebhookChannel:
    """Posts messages to an address that the member chose."""

    def __init__(self, url, timeout=5.0):
        self.url = url
        self.timeout = timeout

    async def send(self, recipient, subject, body):
        payload = json.dumps({"to": recipient.pk, "subject": subject, "body": body})
        async with httpx.AsyncClient(timeout=self.timeout) as http:
            reply = await http.post(self.url, content=payload)
            reply.raise_for_status()
