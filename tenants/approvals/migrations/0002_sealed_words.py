from django.db import migrations, models
from django.db.models.lookups import GreaterThan

from audit.encryption.convert import seal_columns
from audit.encryption.fields import EncryptedTextField


class Migration(migrations.Migration):

    dependencies = [
        ("approvals", "0001_initial"),
        ("encryption", "0001_initial"),
    ]

    operations = [
        migrations.RemoveConstraint("ApprovalRequest", "approval_says_why"),
        *seal_columns(
            "approvals",
            "ApprovalRequest",
            {
                "reason": EncryptedTextField(subject="requested_by_id"),
                "requested_by_email": EncryptedTextField(subject="requested_by_id"),
                "decided_by_email": EncryptedTextField(blank=True, subject="decided_by_id"),
                "note": EncryptedTextField(blank=True, subject="decided_by_id"),
            },
        ),
        migrations.AddConstraint(
            "ApprovalRequest",
            models.CheckConstraint(
                condition=GreaterThan(
                    models.Func(
                        models.F("reason"),
                        function="octet_length",
                        output_field=models.IntegerField(),
                    ),
                    0,
                ),
                name="approval_says_why",
            ),
        ),
    ]
