"""Pages of positions, orders and reconciliation, and the plain POST forms that close, cancel and take over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actors import from_request
from accounts.domain import DomainError, InvalidRequest
from accounts.errors import Forbidden
from environments.models import Environment
from trading import position_pages, positions, queries, reconciliation
from trading.models import Comparison
from trading.position_pages import CAUSES, Place
from trading.ways import Scope, Via

CLOSE_REASONS = ("Risk", "The system does not close it", "Kill switch left it open")
CANCEL_REASONS = ("Stale order", "Risk", "Kill switch left it open")
ADOPT_REASONS = ("Missed fill", "Closed by hand at the exchange", "Cause is known and mended")
WAYS = {Via.SYSTEM: "Through the trading system", Via.EXCHANGE: "Directly at the exchange"}
CLOSE_HELP = {
    Via.SYSTEM: "It sends the order itself and keeps its books right.",
    Via.EXCHANGE: "When the system does not answer, refuses, or knows nothing of it. Its books differ then, until the "
    "exchange's positions are taken over.",
}
CANCEL_HELP = {
    Via.SYSTEM: "It cancels them itself.",
    Via.EXCHANGE: "When the system does not answer or refuses; it sees at its next read that they are gone.",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What was typed into a form that was sent, and why it did nothing."""

    reason: str = ""
    via: str = ""
    errors: dict[str, str] | None = None
    refused: str = ""

    @property
    def reason_error(self) -> str:
        """What is wrong with the reason."""
        return (self.errors or {}).get("reason", "")


@require_safe
def position_list(request: HttpRequest) -> HttpResponse:
    """``/positions/?environment=``: what the system keeps and what the exchange says, side by side."""
    where = _chosen(request)
    if where is None:
        return render(request, "trading/positions/list.html")
    context = {"page": position_pages.positions(where)}
    return render(request, "trading/positions/list.html", context | _common(where, "positions"))


@require_safe
def order_list(request: HttpRequest) -> HttpResponse:
    """``/orders/?environment=``: open orders of both sides."""
    where = _chosen(request)
    if where is None:
        return render(request, "trading/orders/list.html")
    context = {"page": position_pages.orders(where)}
    return render(request, "trading/orders/list.html", context | _common(where, "orders"))


@require_safe
def reconciliation_page(request: HttpRequest) -> HttpResponse:
    """``/positions/reconciliation/?environment=``: the last comparison, what to do about it, and those before."""
    where = _chosen(request)
    if where is None:
        return render(request, "trading/reconciliation/list.html")
    history = Paginator(queries.comparisons(where.environment), position_pages.HISTORY)
    page = history.get_page(request.GET.get("page"))
    last = queries.last_comparison(where.environment)
    context = {
        "last": last,
        "differences": position_pages.differences(last),
        "page": page,
        "rows": [(one, position_pages.differences(one)) for one in page],
        "causes": CAUSES,
        "block": queries.promotion_block(where.environment),
    }
    return render(request, "trading/reconciliation/list.html", context | _common(where, "reconciliation"))


@require_http_methods(["GET", "HEAD", "POST"])
def close(request: HttpRequest, name: str, symbol: str) -> HttpResponseBase:
    """``/positions/<environment>/<symbol>/close/``: what it would do, the form, and the act.

    A POST answers with a redirect to the positions; 400 for a missing reason, 403 without permission, 409 when there is
    nothing to close or the system refuses, 502 when nobody answered.
    """
    where = _place(request, name)
    try:
        positions.clean_symbol(symbol)
    except InvalidRequest as error:
        raise Http404(str(error)) from None

    def shown(tried: Tried, status: int) -> HttpResponse:
        page = position_pages.positions(where)
        row = position_pages.row_of(page, symbol)
        ways = _ways(tried, row.advice if row else page.advice, CLOSE_HELP)
        context = {"page": page, "symbol": symbol, "row": row}
        more = {"tried": tried, "ways": ways, "presets": CLOSE_REASONS}
        return render(request, "trading/positions/close.html", context | more | _common(where), status=status)

    if request.method != "POST":
        return shown(Tried(), 200)

    def act() -> HttpResponseBase:
        reason, via = request.POST.get("reason", ""), request.POST.get("via", "")
        done = positions.close(from_request(request), where.environment, symbol, reason, via=via)
        return _told(request, done.words, done.is_done, _address("positions", where))

    return _acted(request, act, shown)


@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/orders/<environment>/cancel/``: cancel one order (``order``), those of a ``symbol``, or all.

    Answers as ``close`` does.
    """
    where = _place(request, name)
    given = request.POST if request.method == "POST" else request.GET
    try:
        scope = positions.clean_scope(given.get("order", ""), given.get("symbol", ""))
    except InvalidRequest as error:
        raise Http404(str(error)) from None

    def shown(tried: Tried, status: int) -> HttpResponse:
        page = position_pages.orders(where)
        rows = [row for row in page.rows if scope.means(row.order.id, row.order.symbol)]
        context = {"page": page, "scope": scope, "rows": rows, "title": _cancel_title(scope)}
        context["triggers"] = sum(row.order.trigger for row in rows)
        more = {"tried": tried, "ways": _ways(tried, page.advice, CANCEL_HELP), "presets": CANCEL_REASONS}
        return render(request, "trading/orders/cancel.html", context | more | _common(where), status=status)

    if request.method != "POST":
        return shown(Tried(), 200)

    def act() -> HttpResponseBase:
        reason, via = request.POST.get("reason", ""), request.POST.get("via", "")
        actor, meant = from_request(request), {"order": scope.order, "symbol": scope.symbol}
        done = positions.cancel(actor, where.environment, reason, via=via, **meant)
        return _told(request, done.words, done.is_done, _address("orders", where))

    return _acted(request, act, shown)


@require_POST
def compare(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/positions/<environment>/compare/``: compare now; the page of reconciliation shows what was found."""
    where = _place(request, name)
    found = reconciliation.compare_now(from_request(request), where.environment)
    if found.verdict == Comparison.Verdict.NO_DATA:
        messages.error(request, f"Not compared. {found.detail}")
    return redirect(_address("reconciliation", where))


@require_http_methods(["GET", "HEAD", "POST"])
def adopt(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/positions/<environment>/adopt/``: let the system take over the exchange's positions, of ``symbol`` or all.

    Answers as ``close`` does.
    """
    where = _place(request, name)
    given = request.POST if request.method == "POST" else request.GET
    symbol = given.get("symbol", "")
    try:
        wanted = [positions.clean_symbol(symbol)] if symbol else reconciliation.ALL
    except InvalidRequest as error:
        raise Http404(str(error)) from None

    def shown(tried: Tried, status: int) -> HttpResponse:
        page = position_pages.positions(where)
        rows = [row for row in page.rows if row.difference and symbol in ("", row.symbol)]
        context = {"page": page, "symbol": symbol, "rows": rows, "tried": tried}
        context |= {"presets": ADOPT_REASONS, **_common(where)}
        return render(request, "trading/reconciliation/adopt.html", context, status=status)

    if request.method != "POST":
        return shown(Tried(), 200)

    def act() -> HttpResponseBase:
        done = reconciliation.adopt(from_request(request), where.environment, wanted, request.POST.get("reason", ""))
        words = f"Taken over and read back: {', '.join(done.adopted)}."
        return _told(request, words, True, _address("reconciliation", where))

    return _acted(request, act, shown)


def _acted(
    request: HttpRequest, act: Callable[[], HttpResponseBase], shown: Callable[[Tried, int], HttpResponse]
) -> HttpResponseBase:
    """The act, or the form again with what was wrong and the values kept."""
    reason, via = request.POST.get("reason", ""), request.POST.get("via", "")
    try:
        return act()
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return shown(Tried(reason, via, {error.field: str(error)}), 400)
    except DomainError as error:
        # It did not go this way: the other one is offered.
        return shown(Tried(reason, Via.EXCHANGE, None, str(error)), error.status)


def _told(request: HttpRequest, words: str, is_done: bool, address: str) -> HttpResponseBase:
    (messages.success if is_done else messages.error)(request, words)
    return redirect(address)


def _ways(tried: Tried, advice: Via, words: dict[Via, str]) -> list[tuple[str, str, str, bool]]:
    """Value, title, explanation and whether chosen, of each way."""
    chosen = tried.via if tried.via in WAYS else advice
    return [(way.value, title, words[way], way == chosen) for way, title in WAYS.items()]


def _cancel_title(scope: Scope) -> str:
    if scope.order:
        return f"Cancel order {scope.order}"
    return f"Cancel the orders of {scope.symbol}" if scope.symbol else "Cancel every open order"


def _chosen(request: HttpRequest) -> Place | None:
    return _find(request, request.GET.get("environment", ""))


def _place(request: HttpRequest, name: str) -> Place:
    found = _find(request, name)
    if found is None:
        raise Http404(f"There is no environment {name} that you may see.")
    return found


def _find(request: HttpRequest, name: str) -> Place | None:
    try:
        return position_pages.place(request.user, name)
    except Environment.DoesNotExist:
        raise Http404(f"There is no environment {name} that you may see.") from None


def _address(name: str, where: Place) -> str:
    return f"{reverse(name)}?{urlencode({'environment': where.environment.name})}"


def _common(where: Place, current: str = "") -> dict[str, Any]:
    """What every page of an environment needs."""
    words = (("Positions", "positions"), ("Orders", "orders"), ("Reconciliation", "reconciliation"))
    tabs = [(word, _address(name, where), name == current, None) for word, name in words]
    return {"where": where, "environment": where.environment, "tabs": tabs}
