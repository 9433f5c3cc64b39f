"""Serializers for the catalog."""

from rest_framework import serializers

from catalog.models import Author, Book


class AuthorSerializer(serializers.ModelSerializer):
    """An author with the number of their books."""

    book_count = serializers.IntegerField(source="books.count", read_only=True)

    class Meta:
        model = Author
        fields = ("id", "name", "born", "book_count")


class BookSerializer(serializers.ModelSerializer):
    """A book with its authors."""

    authors = AuthorSerializer(many=True, read_only=True)
    available = serializers.SerializerMethodField()

    class Meta:
        model = Book
        fields = ("isbn", "title", "authors", "published", "cover_url", "available")

    def get_available(self, book):
        return book.available_copies().count()

    def validate_isbn(self, value):
        digits = value.replace("-", "")
        if len(digits) not in (10, 13):
            raise serializers.ValidationError("An ISBN has 10 or 13 digits.")
        return digits
