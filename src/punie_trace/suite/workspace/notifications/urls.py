"""URLs for messages."""

from django.urls import path

from notifications.views import list_unread, mark_all_read

urlpatterns = [
    path("unread/", list_unread, name="unread"),
    path("read-all/", mark_all_read, name="read-all"),
]
