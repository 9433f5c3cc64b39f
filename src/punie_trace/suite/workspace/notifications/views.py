"""Endpoints for messages."""

from django.http import JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST


@require_GET
async def list_unread(request):
    """The messages that the member has not read."""
    user = await request.auser()
    unread = [n.subject async for n in user.notifications.filter(read_at=None)]
    return JsonResponse({"unread": unread})


@require_POST
async def mark_all_read(request):
    """Mark all messages as read."""
    user = await request.auser()
    changed = await user.notifications.filter(read_at=None).aupdate(read_at=timezone.now())
    return JsonResponse({"changed": changed})
