"""The audited actions of this app."""

from collections.abc import Iterable, Sequence

from audit.intents import ends
from audit.registry import register

register(
    stop__engaged="Kill switch engaged",
    stop__drill="Kill switch drill",
    stop__joined="Kill switch pressed again",
    stop__finished="Emergency stop ended",
    stop__reason_given="Reason of an emergency stop given",
    clearance__requested="Leave to trade asked for",
    clearance__approved="Leave to trade given",
    clearance__rejected="Leave to trade refused",
    clearance__withdrawn="Request for leave to trade withdrawn",
    clearance__fell="Request for leave to trade fell: something changed",
    clearance__expired="Request for leave to trade expired",
    stop__released="Kill switch released",
    trading__resumed="Trading resumed",
    position__closed="Position closed by hand",
    orders__cancelled="Orders cancelled by hand",
    breaker__tripped="Circuit breaker tripped",
    breaker__tripped_by_hand="Circuit breaker tripped by hand",
    breaker__validated="Questions before a reset answered",
    breaker__reset="Circuit breaker reset",
    positions__compared="Positions differ from the exchange",
    positions__adopted="Positions of the exchange taken over",
    database__backup="Backup asked for",
    database__verify="Verification of a backup asked for",
    database__restore="Restore of a backup asked for",
    database__finished="Work on the database ended",
)


def _databases_under_way(keys: Sequence[str]) -> Iterable[str]:
    """Of runs on a database, those that are not finished."""
    from trading.models import DatabaseRun

    return [str(pk) for pk in DatabaseRun.objects.under_way().filter(pk__in=keys).values_list("pk", flat=True)]


for _act in ("database.backup", "database.verify", "database.restore"):
    ends(_act, "database.finished", under_way=_databases_under_way)
