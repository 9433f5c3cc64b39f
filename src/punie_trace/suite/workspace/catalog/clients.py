"""A client for the Open Library, which knows titles and covers."""

from dataclasses import dataclass

import httpx
from django.conf import settings


class MetadataError(Exception):
    """The Open Library does not know the book, or does not answer."""


@dataclass(frozen=True)
class BookMetadata:
    """What the Open Library says about one book."""

    title: str
    cover_url: str


class OpenLibraryClient:
    """Fetches metadata by ISBN."""

    def __init__(self, http: httpx.AsyncClient):
        self.http = http

    async def fetch_metadata(self, isbn: str) -> BookMetadata:
        response = await self.http.get(f"{settings.OPEN_LIBRARY_URL}/isbn/{isbn}.json")
        if response.status_code != 200:
            raise MetadataError(isbn)
        record = response.json()
        return BookMetadata(record["title"], await self.fetch_cover(isbn))

    async def fetch_cover(self, isbn: str) -> str:
        url = f"https://covers.openlibrary.org/b/isbn/{isbn}-M.jpg"
        reply = await self.http.head(url)
        return url if reply.is_success else ""
