"""The audited actions of this app."""

from audit.registry import register

EXPORTED = "audit.exported"

register(
    audit__exported="Audit trail exported",
    audit__protected="Audit trail protected",
    audit__opened="Audit trail opened for a migration",
    audit__chain_wrong="Audit chain found wrong",
    audit__chain_right="Audit chain found right again",
)
