"""Work that runs each night."""

import asyncio
import logging

from loans.models import Loan
from notifications.channels import EmailChannel

logger = logging.getLogger(__name__)


async def remind_borrower(loan, channel):
    """Tell one member that a book is late."""
    await channel.send(
        loan.borrower, "Your book is overdue", f"Please return it; it was due on {loan.due_on}."
    )


async def send_overdue_reminders(batch_size=20):
    """Remind all members who are late, a few at a time."""
    channel = EmailChannel()
    batch = []
    async for loan in Loan.objects.overdue().select_related("borrower"):
        batch.append(remind_borrower(loan, channel))
        if len(batch) == batch_size:
            await asyncio.gather(*batch)
            batch.clear()
    await asyncio.gather(*batch)
    logger.info("overdue reminders are sent")
