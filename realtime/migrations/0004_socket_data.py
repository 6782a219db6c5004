"""Data of a client that others see."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("realtime", "0003_presence_after_outages")]

    operations = [
        migrations.AddField(
            model_name="socket",
            name="data",
            field=models.JSONField(blank=True, default=dict, verbose_name="data"),
        ),
    ]
