from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('environments', '0004_calendar'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='environment',
            options={'ordering': ('position', 'name'), 'permissions': [('run_checklists', 'Can tick checklists and run runbooks here'), ('deploy_environment', 'Can deploy to this environment'), ('request_deployment', 'Can ask for a deployment to this environment'), ('approve_deployment', 'Can approve deployments to this environment'), ('report_tests', 'Can report tests and reviews of releases for this environment'), ('emergency_stop', 'Can stop trading here in an emergency'), ('resume_trading', 'Can resume trading here'), ('change_configuration', 'Can change the configuration of this environment')]},
        ),
    ]
