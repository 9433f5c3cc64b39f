"""How the list of books can be narrowed."""

import django_filters

from catalog.models import Book


class BookFilter(django_filters.FilterSet):
    """Filter books by title, author and year."""

    title = django_filters.CharFilter(lookup_expr="icontains")
    author = django_filters.CharFilter(field_name="authors__name", lookup_expr="icontains")
    since = django_filters.NumberFilter(field_name="published", lookup_expr="gte")

    class Meta:
        model = Book
        fields = ("title", "author", "since")
