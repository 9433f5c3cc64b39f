"""Serializers for loans."""

from rest_framework import serializers

from catalog.models import Copy
from loans.models import Fine, Loan


class LoanSerializer(serializers.ModelSerializer):
    """A loan with the title of its book."""

    title = serializers.CharField(source="copy.book.title", read_only=True)

    class Meta:
        model = Loan
        fields = ("id", "title", "due_on", "returned_at", "renewals")


class CheckoutSerializer(serializers.Serializer):
    """The barcode that was scanned at the desk."""

    barcode = serializers.SlugRelatedField(slug_field="barcode", queryset=Copy.objects.all())


class FineSerializer(serializers.ModelSerializer):
    """A fine in whole cents."""

    class Meta:
        model = Fine
        fields = ("loan", "amount_cents", "paid_at")
