"""What tells whether the rows of presence are all there, after a database was away."""

from django.db import migrations, models

import realtime.fields


class Migration(migrations.Migration):
    dependencies = [("realtime", "0002_exact_texts")]

    operations = [
        migrations.AddField(
            model_name="server",
            name="complete",
            field=models.BooleanField(default=True, verbose_name="complete"),
        ),
        migrations.AddField(
            model_name="server",
            name="restored_at",
            field=realtime.fields.DatabaseTimeField(  # type: ignore[misc]
                null=True, verbose_name="restored"
            ),
        ),
    ]
