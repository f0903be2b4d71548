"""The fencing epoch: one sequence for all environments, so that a later decision always has the higher number."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("deployments", "0002_initial")]

    operations = [migrations.RunSQL("CREATE SEQUENCE opsc_fence AS bigint START 1", "DROP SEQUENCE opsc_fence")]
