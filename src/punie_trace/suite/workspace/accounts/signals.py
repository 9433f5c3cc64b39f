"""What happens when a member is saved."""

from django.db.models.signals import post_save
from django.dispatch import receiver

from accounts.models import User
from notifications.models import Notification


@receiver(post_save, sender=User)
def welcome_new_member(sender, instance, created, **kwargs):
    """Leave a welcome message for a new member."""
    if not created:
        return
    Notification.objects.create(
        recipient=instance,
        subject="Welcome to the library",
        body="You can borrow up to five books at a time.",
    )
