"""URLs for members."""

from django.urls import path

from accounts.views import AddressView, ProfileView, RegisterView

urlpatterns = [
    path("register/", RegisterView.as_view(), name="register"),
    path("profile/", ProfileView.as_view(), name="profile"),
    path("address/", AddressView.as_view(), name="address"),
]
