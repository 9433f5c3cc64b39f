"""Endpoints to look through the catalog."""

from rest_framework import generics
from rest_framework.permissions import IsAuthenticatedOrReadOnly

from accounts.permissions import IsLibrarian
from catalog.filters import BookFilter
from catalog.models import Author, Book
from catalog.serializers import AuthorSerializer, BookSerializer


class BookListView(generics.ListAPIView):
    """All books, by title."""

    queryset = Book.objects.prefetch_related("authors", "copies")
    serializer_class = BookSerializer
    filterset_class = BookFilter
    permission_classes = [IsAuthenticatedOrReadOnly]


class BookDetailView(generics.RetrieveUpdateDestroyAPIView):
    """One book by its ISBN."""

    queryset = Book.objects.all()
    serializer_class = BookSerializer
    lookup_field = "isbn"
    permission_classes = [IsLibrarian]


class AuthorListView(generics.ListAPIView):
    """All authors."""

    queryset = Author.objects.order_by("name")
    serializer_class = AuthorSerializer
