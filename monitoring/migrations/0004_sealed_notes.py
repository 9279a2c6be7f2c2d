from django.db import migrations

from audit.encryption.convert import seal_columns
from audit.encryption.fields import EncryptedTextField


class Migration(migrations.Migration):

    dependencies = [
        ("monitoring", "0003_totals"),
        ("encryption", "0001_initial"),
    ]

    operations = seal_columns(
        "monitoring",
        "Alert",
        {
            "acknowledged_note": EncryptedTextField(blank=True, subject="acknowledged_by_id"),
            "resolved_note": EncryptedTextField(
                blank=True, subject="resolved_by_id", otherwise="log"
            ),
        },
    )
