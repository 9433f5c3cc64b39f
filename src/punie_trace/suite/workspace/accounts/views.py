"""Endpoints for sign-up and profiles."""

from rest_framework import generics, permissions
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.serializers import AddressSerializer, UserSerializer


class RegisterView(generics.CreateAPIView):
    """Let a visitor become a member."""

    queryset = User.objects.all()
    serializer_class = UserSerializer
    permission_classes = [permissions.AllowAny]


class ProfileView(APIView):
    """Show or change the profile of the member who is signed in."""

    permission_classes = [permissions.IsAuthenticated]

    def get(self, request):
        return Response(UserSerializer(request.user).data)

    def patch(self, request):
        form = UserSerializer(request.user, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        form.save()
        return Response(form.data)


class AddressView(generics.RetrieveUpdateAPIView):
    """Show or change the postal address of a member."""

    serializer_class = AddressSerializer

    def get_object(self):
        return self.request.user.address
