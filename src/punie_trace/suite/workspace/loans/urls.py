"""URLs for loans."""

from django.urls import path

from loans.views import CheckoutView, LoanListView, ReturnView

urlpatterns = [
    path("", LoanListView.as_view(), name="loan-list"),
    path("checkout/", CheckoutView.as_view(), name="checkout"),
    path("<int:pk>/return/", ReturnView.as_view(), name="return"),
]
