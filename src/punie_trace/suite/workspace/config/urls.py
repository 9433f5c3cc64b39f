"""Root URL table."""

from django.urls import include, path

urlpatterns = [
    path("api/accounts/", include("accounts.urls")),
    path("api/catalog/", include("catalog.urls")),
    path("api/loans/", include("loans.urls")),
    path("api/notifications/", include("notifications.urls")),
]
