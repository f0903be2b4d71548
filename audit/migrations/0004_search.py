import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Trusted since PostgreSQL 13: the owner of the database may create it. A short pending list keeps the search even and
# the one insert in some hundreds that empties it short.
TEXT = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX audit_text ON audit_record USING gin ((object_name || ' ' || reason) gin_trgm_ops)
    WITH (gin_pending_list_limit = 512);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0003_protection'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='record',
            name='action',
            field=models.CharField(max_length=60),
        ),
        migrations.AlterField(
            model_name='record',
            name='actor',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='record',
            name='environment',
            field=models.CharField(blank=True, max_length=60),
        ),
        migrations.RemoveIndex(
            model_name='record',
            name='audit_object',
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['object_type', 'object_id', '-id'], include=('environment', 'at'), name='audit_object'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['actor', 'at'], name='audit_own'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['environment', 'at'], include=('id',), name='audit_place'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['environment', 'actor_name', 'at'], include=('id',), name='audit_who'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['environment', 'action', 'actor_name', 'outcome', 'at'], include=('id',), name='audit_facets'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(condition=models.Q(('outcome', 'done'), _negated=True), fields=['environment', 'outcome', 'at'], include=('id',), name='audit_odd'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(condition=models.Q(('request_id', ''), _negated=True), fields=['request_id'], name='audit_request'),
        ),
        migrations.RunSQL(TEXT, 'DROP INDEX audit_text;'),
    ]
