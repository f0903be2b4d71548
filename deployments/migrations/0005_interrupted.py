from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0004_approval'),
    ]

    operations = [
        migrations.AddField(
            model_name='deployment',
            name='interrupted_at',
            field=models.DateTimeField(blank=True, help_text='The kill switch stopped trading in the watch, which then begins anew.', null=True),
        ),
    ]
