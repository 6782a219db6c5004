"""Since when a client is away that may come back."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("realtime", "0004_socket_data")]

    operations = [
        migrations.AddField(
            model_name="socket",
            name="away_since",
            field=models.DateTimeField(blank=True, null=True, verbose_name="away since"),
        ),
    ]
