"""URLs of the catalog."""

from django.urls import path

from catalog.views import AuthorListView, BookDetailView, BookListView

urlpatterns = [
    path("books/", BookListView.as_view(), name="book-list"),
    path("books/<str:isbn>/", BookDetailView.as_view(), name="book-detail"),
    path("authors/", AuthorListView.as_view(), name="author-list"),
]
