"""Tests for the catalog."""

from django.test import SimpleTestCase, TestCase
from django.urls import reverse

from catalog.models import Book
from catalog.serializers import BookSerializer


class IsbnTests(SimpleTestCase):
    """What counts as an ISBN."""

    def test_hyphens_are_dropped(self):
        isbn = BookSerializer().validate_isbn("978-0-13-468599-1")
        self.assertEqual(isbn, "9780134685991")


class BookListTests(TestCase):
    """The list of books."""

    def test_books_can_be_narrowed_by_title(self):
        Book.objects.create(isbn="9780134685991", title="Middlemarch")
        Book.objects.create(isbn="9780141439600", title="Bleak House")
        found = self.client.get(reverse("book-list"), {"title": "march"}).json()
        self.assertEqual([book["title"] for book in found], ["Middlemarch"])
