"""Tests for the rules of lending."""

from datetime import date

from django.test import SimpleTestCase, override_settings

from loans.models import Loan
from loans.services import calculate_fine


@override_settings(DAILY_FINE_CENTS=25)
class FineTests(SimpleTestCase):
    """What a late book costs."""

    def test_nothing_is_owed_on_the_due_day(self):
        loan = Loan(due_on=date(2025, 3, 1))
        self.assertEqual(calculate_fine(loan, date(2025, 3, 1)), 0)

    def test_each_day_costs_the_same(self):
        loan = Loan(due_on=date(2025, 3, 1))
        self.assertEqual(calculate_fine(loan, date(2025, 3, 5)), 100)
