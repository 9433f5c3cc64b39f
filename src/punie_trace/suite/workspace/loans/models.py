"""Who has borrowed what."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from catalog.models import Copy


class LoanQuerySet(models.QuerySet):
    """Questions about loans."""

    def open(self):
        return self.filter(returned_at=None)

    def overdue(self):
        return self.open().filter(due_on__lt=timezone.localdate())


class Loan(models.Model):
    """One copy in the hands of one member."""

    copy = models.ForeignKey(Copy, on_delete=models.PROTECT, related_name="loans")
    borrower = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="loans"
    )
    lent_at = models.DateTimeField(auto_now_add=True)
    due_on = models.DateField()
    returned_at = models.DateTimeField(null=True)
    renewals = models.PositiveSmallIntegerField(default=0)

    objects = LoanQuerySet.as_manager()

    class Meta:
        ordering = ["due_on"]


class Fine(models.Model):
    """What a member owes for a loan that came back late."""

    loan = models.OneToOneField(Loan, on_delete=models.CASCADE)
    amount_cents = models.PositiveIntegerField()
    paid_at = models.DateTimeField(null=True)
