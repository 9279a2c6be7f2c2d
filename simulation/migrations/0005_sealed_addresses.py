from django.db import migrations

from audit.encryption.convert import seal_columns
from audit.encryption.fields import EncryptedTextField


class Migration(migrations.Migration):

    dependencies = [
        ("simulation", "0004_approved_faults_and_quota"),
        ("encryption", "0001_initial"),
    ]

    operations = seal_columns(
        "simulation",
        "Run",
        {
            "requested_by_email": EncryptedTextField(subject="requested_by_id"),
            "cancel_requested_by_email": EncryptedTextField(
                blank=True, subject="cancel_requested_by_id"
            ),
        },
    )
