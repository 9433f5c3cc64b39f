"""Who may do what."""

from rest_framework.permissions import SAFE_METHODS, BasePermission


class IsLibrarian(BasePermission):
    """Only the staff of the library."""

    message = "Only librarians may do this."

    def has_permission(self, request, view):
        return bool(request.user.is_authenticated and request.user.is_librarian)


class IsBorrowerOrReadOnly(BasePermission):
    """Anyone may look; only the borrower may change a loan."""

    def has_object_permission(self, request, view, obj):
        if request.method in SAFE_METHODS:
            return True
        return obj.borrower_id == request.user.pk
