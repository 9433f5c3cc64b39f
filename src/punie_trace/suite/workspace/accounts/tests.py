"""Tests for members."""

from django.test import TestCase
from django.urls import reverse

from accounts.models import User
from notifications.models import Notification


class RegistrationTests(TestCase):
    """Signing up."""

    def test_a_new_member_is_welcomed(self):
        user = User.objects.create_user("ada", "ada@example.org", "secret-phrase")
        self.assertTrue(Notification.objects.filter(recipient=user).exists())

    def test_two_members_cannot_share_an_address(self):
        User.objects.create_user("ada", "ada@example.org", "secret-phrase")
        response = self.client.post(reverse("register"), {"email": "ada@example.org"})
        self.assertEqual(response.status_code, 400)


class ProfileTests(TestCase):
    """Looking at one's own profile."""

    def test_a_visitor_has_no_profile(self):
        self.assertEqual(self.client.get(reverse("profile")).status_code, 403)
