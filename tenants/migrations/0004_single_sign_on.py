from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0003_invitation'),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='single_sign_on_required',
            field=models.BooleanField(default=False),
        ),
    ]
