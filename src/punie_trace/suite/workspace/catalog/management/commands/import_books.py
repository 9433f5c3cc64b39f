"""Import books from a CSV file with the columns isbn, title and published."""

import csv
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from catalog.models import Book


class Command(BaseCommand):
    """python manage.py import_books FILE"""

    help = "Import books from a CSV file."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args, **options):
        if not options["file"].exists():
            raise CommandError(f"there is no file {options['file']}")
        with options["file"].open(newline="") as lines:
            books = [Book(**row) for row in csv.DictReader(lines)]
        if not options["dry_run"]:
            Book.objects.bulk_create(books, ignore_conflicts=True)
        self.stdout.write(f"{len(books)} books read")
