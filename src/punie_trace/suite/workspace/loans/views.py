"""Endpoints to borrow and return."""

from django.shortcuts import get_object_or_404
from rest_framework import generics, status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import IsBorrowerOrReadOnly
from loans.exceptions import LoanError
from loans.models import Loan
from loans.serializers import CheckoutSerializer, LoanSerializer
from loans.services import checkout, return_copy


class LoanListView(generics.ListAPIView):
    """Loans of the member who is signed in."""

    serializer_class = LoanSerializer

    def get_queryset(self):
        return self.request.user.loans.open()


class CheckoutView(APIView):
    """Borrow a copy by its barcode."""

    def post(self, request):
        form = CheckoutSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            loan = checkout(request.user, form.validated_data["barcode"])
        except LoanError as error:
            return Response({"code": error.code}, status=status.HTTP_409_CONFLICT)
        return Response(LoanSerializer(loan).data, status=status.HTTP_201_CREATED)


class ReturnView(APIView):
    """Bring a copy back."""

    permission_classes = [IsBorrowerOrReadOnly]

    def post(self, request, pk):
        loan = get_object_or_404(Loan, pk=pk)
        self.check_object_permissions(request, loan)
        return_copy(loan)
        return Response(status=status.HTTP_204_NO_CONTENT)
