"""Application settings of the accounts."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Connects the signals once the models are loaded."""

    name = "accounts"

    def ready(self):
        from accounts import signals  # noqa: F401
