"""Until when users were connected."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import realtime.fields


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("realtime", "0006_handled_events"),
    ]

    operations = [
        migrations.CreateModel(
            name="SeenUser",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="realtime_seen",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                ("seen_at", realtime.fields.DatabaseTimeField(verbose_name="last seen")),
            ],
            options={
                "verbose_name": "last seen",
                "verbose_name_plural": "last seen",
                "default_permissions": (),
            },
        ),
    ]
