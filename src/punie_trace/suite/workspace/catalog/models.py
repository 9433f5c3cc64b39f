"""What the library owns."""

from django.db import models


class Author(models.Model):
    """Someone who wrote a book."""

    name = models.CharField(max_length=120)
    born = models.PositiveSmallIntegerField(null=True)

    def __str__(self):
        return self.name


class Book(models.Model):
    """A title, of which there may be several copies."""

    isbn = models.CharField(max_length=13, unique=True)
    title = models.CharField(max_length=200)
    authors = models.ManyToManyField(Author, related_name="books")
    published = models.PositiveSmallIntegerField(null=True)
    cover_url = models.URLField(blank=True)

    class Meta:
        ordering = ["title"]

    def available_copies(self):
        """Copies that are neither lent nor lost."""
        lent = self.copies.filter(loans__isnull=False, loans__returned_at=None)
        return self.copies.filter(is_lost=False).exclude(pk__in=lent)


class Copy(models.Model):
    """One physical copy on a shelf."""

    book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="copies")
    barcode = models.CharField(max_length=20, unique=True)
    shelf = models.CharField(max_length=10)
    is_lost = models.BooleanField(default=False)
