from functools import partial

from django.db import migrations

from audit.encryption.convert import rewrite_table


class Migration(migrations.Migration):
    # The approval that a row names says who gave it, sealed.

    dependencies = [
        ("simulation", "0006_collisions_boundary_and_workers"),
        ("approvals", "0002_sealed_words"),
    ]

    operations = [
        migrations.RemoveField("Run", "approved_by_email"),
        migrations.RemoveField("RunsQuota", "granted_by_email"),
        migrations.RunPython(partial(rewrite_table, "simulation", "Run")),
        migrations.RunPython(partial(rewrite_table, "simulation", "RunsQuota")),
    ]
