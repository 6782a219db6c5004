"""What the app's permissions hang on."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Access(models.Model):
    """No table: the permissions to see clients and to send to them, for users and groups."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_clients", _("Can see connected clients")),
            ("send_to_clients", _("Can send to connected clients")),
        ]
        verbose_name = _("access to Realtime")
        verbose_name_plural = _("access to Realtime")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)
