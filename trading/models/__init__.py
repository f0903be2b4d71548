"""What is kept of emergency stops, clearances, breakers, comparisons with the exchange, and database copies."""

from trading.models.backup import DatabaseRun
from trading.models.breaker import BreakerTrip
from trading.models.clearance import Clearance
from trading.models.comparison import Comparison
from trading.models.stop import EmergencyStop

__all__ = ["BreakerTrip", "Clearance", "Comparison", "DatabaseRun", "EmergencyStop"]
