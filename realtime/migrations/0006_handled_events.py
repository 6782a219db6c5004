"""Events that are handled once for each key of a client."""

from django.db import migrations, models

import realtime.fields


class Migration(migrations.Migration):
    dependencies = [("realtime", "0005_socket_away")]

    operations = [
        migrations.CreateModel(
            name="HandledEvent",
            fields=[
                (
                    "key",
                    realtime.fields.ExactCharField(
                        max_length=64, primary_key=True, serialize=False
                    ),
                ),
                ("owner", realtime.fields.ExactCharField(max_length=64)),
                ("namespace", realtime.fields.ExactCharField(max_length=255)),
                ("event", realtime.fields.ExactCharField(max_length=255)),
                ("arguments", realtime.fields.ExactCharField(max_length=64)),
                ("server", realtime.fields.ExactCharField(max_length=16)),
                ("attempt", realtime.fields.ExactCharField(max_length=32)),
                ("answer", models.BinaryField(null=True)),
                ("seen_at", realtime.fields.DatabaseTimeField()),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["seen_at"], name="realtime_handled_oldest"),
                    models.Index(fields=["owner", "seen_at"], name="realtime_handled_owner"),
                ],
            },
        ),
    ]
