"""What the database itself refuses and does: records are never changed, and none is forgotten by the chain.

The triggers are ENABLE ALWAYS: they also run where ``session_replication_role`` is ``replica``. Names in functions are
in full, so that no table of the same name on somebody's search path (a temporary one) takes their place. That only the
owner can drop them is the work of ``manage.py protect_audit``.
"""

import django.db.models.deletion
from django.db import migrations, models


TABLES = ("audit_record", "audit_chain", "audit_checkpoint")

REFUSE = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Correct a wrong record by a new one.';
END
$$;
"""
REFUSING = "".join(
    f"""
CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_refuse_change;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_refuse_truncate;
"""
    for table in TABLES
)
ENQUEUE = """
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION audit_enqueue() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO %1$I.audit_pending (record_id) SELECT id FROM written;
            RETURN NULL;
        END
        $$;
    $sql$, current_schema());
END
$do$;
CREATE TRIGGER audit_record_enqueue AFTER INSERT ON audit_record
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION audit_enqueue();
ALTER TABLE audit_record ENABLE ALWAYS TRIGGER audit_record_enqueue;
INSERT INTO audit_pending (record_id)
    SELECT id FROM audit_record WHERE id NOT IN (SELECT record_id FROM audit_chain)
    ON CONFLICT DO NOTHING;
-- Rows live for a fraction of a second: cleared often, or the sequencer would read through the dead ones.
ALTER TABLE audit_pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
"""
UNDO = (
    "".join(
        f"DROP TRIGGER {table}_refuse_change ON {table}; DROP TRIGGER {table}_refuse_truncate ON {table};"
        for table in TABLES
    )
    + "DROP TRIGGER audit_record_enqueue ON audit_record; DROP FUNCTION audit_enqueue(); DROP FUNCTION audit_refuse();"
)


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0002_chain'),
    ]

    operations = [
        migrations.CreateModel(
            name='Verification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tail_seq', models.BigIntegerField(default=0, help_text='New entries are verified as they are written, up to here.')),
                ('tail_at', models.DateTimeField(help_text='When it was looked whether there are more.', null=True)),
                ('walk_seq', models.BigIntegerField(default=0, help_text='The walk over all entries is here now.')),
                ('walked_seq', models.BigIntegerField(help_text='The last complete walk was from entry 1 to this one.', null=True)),
                ('walked_at', models.DateTimeField(null=True)),
                ('wrong_seq', models.BigIntegerField(help_text='The first wrong entry; null without one.', null=True)),
                ('wrong_what', models.TextField(blank=True, help_text='What is wrong with the chain; empty when nothing is.')),
                ('wrong_at', models.DateTimeField(help_text='When it was found.', null=True)),
                ('checkpoint_at', models.DateTimeField(help_text='Time of the newest signature, also of an idle second.', null=True)),
                ('checkpoint_seq', models.BigIntegerField(null=True)),
                ('copy_problem', models.TextField(blank=True, help_text='Why the newest checkpoint was not copied; empty if it was.')),
            ],
            options={
                'db_table': 'audit_verification',
            },
        ),
        migrations.AlterField(
            model_name='pending',
            name='record',
            field=models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='+', serialize=False, to='audit.record'),
        ),
        migrations.AddIndex(
            model_name='checkpoint',
            index=models.Index(fields=['seq'], name='audit_checkpoint_seq'),
        ),
        migrations.RunSQL(REFUSE + REFUSING + ENQUEUE, UNDO),
    ]
