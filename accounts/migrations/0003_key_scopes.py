from django.db import migrations

# As they were when scopes came: what every key could do until then.
SCOPES = [
    'view_environment', 'run_checklists', 'deploy_environment', 'request_deployment', 'approve_deployment',
    'emergency_stop', 'resume_trading', 'change_configuration', 'manage_people',
]


def give_every_scope(apps, schema_editor):
    """A key from before scopes goes on as it was: it may do whatever its owner may."""
    apps.get_model('accounts', 'APIKey').objects.filter(scopes=[]).update(scopes=SCOPES)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_access'),
    ]

    operations = [
        migrations.RunPython(give_every_scope, migrations.RunPython.noop),
    ]
