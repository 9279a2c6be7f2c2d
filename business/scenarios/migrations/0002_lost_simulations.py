"""When a simulation was sent, and how often. What waits now was sent long ago, for the sweep."""

from datetime import UTC, datetime

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("scenarios", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="longsimulation",
            name="sent_at",
            field=models.DateTimeField(default=datetime(2026, 1, 1, tzinfo=UTC)),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="longsimulation",
            name="attempts",
            field=models.PositiveSmallIntegerField(default=1),
        ),
    ]
