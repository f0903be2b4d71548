"""The steps by name; a plan names them (``deployments/strategies``)."""

from deployments.steps.base import StepCode
from deployments.steps.hand_over import Activate, HandOver
from deployments.steps.prepare import AwaitPromotion, Preflight, SmokeTest
from deployments.steps.shift_traffic import RestoreLive, ShiftTraffic
from deployments.steps.slots import StartSlot, StopSlot, WaitHealthy
from deployments.steps.watch import VerifyLive, Watch

STEPS: dict[str, StepCode] = {
    "preflight": Preflight(),
    "start_slot": StartSlot(),
    "wait_healthy": WaitHealthy(),
    "smoke_test": SmokeTest(),
    "await_promotion": AwaitPromotion(),
    "hand_over": HandOver(),
    "shift_traffic": ShiftTraffic(),
    "activate": Activate(),
    "watch": Watch(),
    "verify_live": VerifyLive(),
    "restore_live": RestoreLive(),
    "stop_slot": StopSlot(),
}
