"""The rules of lending."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from loans.exceptions import CopyNotAvailableError, RenewalLimitError, TooManyLoansError
from loans.models import Fine, Loan

MAX_RENEWALS = 2


@transaction.atomic
def checkout(borrower, copy):
    """Lend a copy to a member."""
    if borrower.loans.open().count() >= settings.MAX_OPEN_LOANS:
        raise TooManyLoansError
    if copy.is_lost or copy.loans.open().exists():
        raise CopyNotAvailableError
    due_on = timezone.localdate() + timedelta(days=settings.LOAN_PERIOD_DAYS)
    return Loan.objects.create(copy=copy, borrower=borrower, due_on=due_on)


def calculate_fine(loan, today):
    """Cents owed for the days since the loan was due."""
    days_late = max(0, (today - loan.due_on).days)
    return days_late * settings.DAILY_FINE_CENTS


@transaction.atomic
def return_copy(loan):
    """Take a copy back, and note a fine if it is late."""
    loan.returned_at = timezone.now()
    loan.save(update_fields=["returned_at"])
    if cents := calculate_fine(loan, timezone.localdate()):
        Fine.objects.create(loan=loan, amount_cents=cents)


def renew(loan):
    """Give the borrower another loan period."""
    if loan.renewals >= MAX_RENEWALS:
        raise RenewalLimitError
    loan.due_on += timedelta(days=settings.LOAN_PERIOD_DAYS)
    loan.renewals += 1
    loan.save(update_fields=["due_on", "renewals"])
