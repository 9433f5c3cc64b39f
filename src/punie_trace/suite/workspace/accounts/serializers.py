"""Serializers for members."""

from rest_framework import serializers

from accounts.models import Address, User


class UserSerializer(serializers.ModelSerializer):
    """A member as the API shows them."""

    open_loans = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("id", "email", "display_name", "joined_at", "open_loans")
        read_only_fields = ("id", "joined_at")

    def get_open_loans(self, user):
        return user.loans.filter(returned_at=None).count()


class AddressSerializer(serializers.ModelSerializer):
    """The postal address of a member."""

    class Meta:
        model = Address
        fields = ("street", "postal_code", "city")

    def validate_postal_code(self, value):
        if not value.strip():
            raise serializers.ValidationError("A postal code is needed.")
        return value.upper()
