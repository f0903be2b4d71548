"""A million audit records as a busy year leaves them, for measuring the audit page.

Two records at a time share who, what and where; for acts on the outside they are intent and outcome. The engine and the
other parts of the console do a third of the acts and people the rest, each in falling frequency; 2 % fail and 0.4 % are
denied. Some things exist in the past only: a person who left, an action that is no longer used, a migration.
"""

from __future__ import annotations

RECORDS = 1_000_000
BATCHES = 10
LEFT, RETIRED = "Lea Left", "release.registered"
"""Who acts in the first half only, and what is done in the first third only."""
PEOPLE = 46
SYSTEM_ACTIONS = ("deployment.verdict", "traffic.shift", "deployment.step_succeeded", "writer.role")
OUTSIDE = ("traffic.shift", "writer.role", "traffic.drift_repaired", "deployment.promoted")
"""Actions that come as intent and outcome."""

_INSERT = """
INSERT INTO audit_record (uuid, at, actor_id, actor_name, via, role, action, object_type, object_id, object_name,
                          environment, outcome, reason, before, after, request_id, address)
SELECT gen_random_uuid(),
       now() - make_interval(secs => (%(pairs)s - pair) * 36 + (1 - half) * 2),
       CASE WHEN is_system THEN NULL ELSE %(first_person)s::bigint + who END,
       CASE WHEN is_system THEN (ARRAY['engine', 'guard', 'reconciler'])[1 + who %% 3]
            WHEN who = 0 AND pair < %(pairs)s / 2 THEN %(left)s ELSE 'Person ' || 1 + who END,
       CASE WHEN is_system THEN 'system' WHEN who %% 4 = 3 THEN 'key' ELSE 'session' END,
       CASE WHEN is_system THEN 'System' ELSE (ARRAY['Admin', 'Operator', 'Developer'])[1 + who %% 3] END,
       action,
       CASE WHEN place = '' THEN 'user' WHEN who %% 7 = 6 THEN 'environment' ELSE 'deployment' END,
       CASE WHEN place = '' OR who %% 7 = 6 THEN 1 + who ELSE 1 + pair / 100 END::text,
       CASE WHEN place = '' THEN 'Person ' || 1 + who WHEN who %% 7 = 6 THEN place
            ELSE '#' || 1 + pair / 100 || ' v1.' || pair / 10000 || '.' || pair / 100 %% 10 || ', ' || place END,
       place,
       CASE WHEN action = ANY(%(outside)s::text[]) AND half = 0 THEN 'intent'
            WHEN luck < 0.02 THEN 'failed' WHEN luck < 0.024 THEN 'denied' ELSE 'done' END,
       CASE WHEN luck < 0.5 THEN ''
            WHEN luck < 0.7 THEN 'Latency p99 ' || round((40 + luck * 100)::numeric, 1) || ' ms is within the limit.'
            WHEN luck < 0.9 THEN 'Instance ' || substr(md5(pair::text), 1, 12) || ': ' || pair %% 900 || ' ms'
            WHEN pair < %(pairs)s / 5 AND luck < 0.92 THEN 'Moved to the new exchange, step ' || pair %% 40
            ELSE 'Fix of the order book slippage, ticket OPS-' || pair %% 40000 END,
       CASE WHEN luck < 0.3 THEN jsonb_build_object('weights', jsonb_build_object('blue', 100, 'green', 0)) END,
       jsonb_build_object('title', 'Step ' || who, 'epoch', pair, 'weights',
                          jsonb_build_object('blue', 0, 'green', 100)),
       CASE WHEN is_system THEN '' ELSE md5('request' || pair) END,
       CASE WHEN is_system THEN '' ELSE '10.20.' || who || '.' || pair %% 250 END
  FROM (SELECT pair, half, luck, is_system, who,
               CASE WHEN action = %(retired)s AND pair > %(pairs)s / 3 THEN 'deployment.held' ELSE action END AS action,
               CASE WHEN is_system OR spot < 0.93 THEN
                    CASE WHEN spot < 0.55 THEN 'production' WHEN spot < 0.85 THEN 'staging' ELSE 'development' END
                    ELSE '' END AS place
          FROM (SELECT pair, half, random() AS luck, spot, is_system,
                       floor((CASE WHEN is_system THEN 6 ELSE %(people)s END) * who * who)::int AS who,
                       CASE WHEN is_system THEN (%(system_actions)s::text[])[1 + floor(4 * what * what)::int]
                            ELSE (%(actions)s::text[])[1 + floor(%(action_count)s * what * what)::int] END AS action
                  FROM (SELECT pair, random() AS who, random() AS what, random() AS spot, random() < 0.35 AS is_system
                          FROM generate_series(%(begin)s::int, %(end)s::int) AS pair OFFSET 0) AS pairs,
                       generate_series(0, 1) AS half) AS acts) AS records
 ORDER BY pair, half
"""


def build(first_person: int) -> None:
    """Write them into an empty trail; takes a minute or two.

    Args:
        first_person: id of the first of the people whose acts they are; the others follow.
    """
    from django.db import connection

    from audit import registry

    pairs = RECORDS // 2
    others = [name for name in registry.actions() if name not in SYSTEM_ACTIONS and name != RETIRED]
    actions = [*others[:13], RETIRED, *others[13:25]]
    values = {
        "pairs": pairs,
        "first_person": first_person,
        "left": LEFT,
        "retired": RETIRED,
        "people": PEOPLE,
        "outside": [*OUTSIDE],
        "actions": actions,
        "action_count": len(actions),
        "system_actions": [*SYSTEM_ACTIONS],
    }
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SELECT setseed(0.42)")
        for batch in range(BATCHES):
            begin, end = batch * pairs // BATCHES, (batch + 1) * pairs // BATCHES - 1
            cursor.execute(_INSERT, {**values, "begin": begin, "end": end})
        cursor.execute("DELETE FROM audit_pending")
        cursor.execute("VACUUM ANALYZE audit_record")
        cursor.execute("VACUUM ANALYZE audit_pending")
        cursor.execute("RESET statement_timeout")
