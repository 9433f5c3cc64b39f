"""Members of the library."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A member, who signs in with an e-mail address."""

    email = models.EmailField(unique=True)
    display_name = models.CharField(max_length=80, blank=True)
    is_librarian = models.BooleanField(default=False)
    joined_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["username"]

    def __str__(self):
        return self.display_name or self.email


class Address(models.Model):
    """Where letters to a member go."""

    user = models.OneToOneField(User, on_delete=models.CASCADE)
    street = models.CharField(max_length=120)
    postal_code = models.CharField(max_length=12)
    city = models.CharField(max_length=80)

    class Meta:
        verbose_name_plural = "addresses"
