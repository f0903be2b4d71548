"""Positions, orders and reconciliation over the API: what the pages show, and the same use cases.

Closing, cancelling and taking over take no Idempotency-Key: they bring about a state and read it back, so that a repeat
finds nothing left to do (409) and does no harm. Nor could their intent be kept before the act within the transaction
that a key needs.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actors import from_request
from accounts.openapi import StrictSerializer, problems
from accounts.roles import STOP, VIEW
from environments.models import Environment
from trading import position_pages, positions, queries, reconciliation
from trading.comparing import plain
from trading.models import Comparison
from trading.ways import Via

NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the environment.")
SYMBOL = OpenApiParameter("symbol", str, OpenApiParameter.PATH, description="As the exchange writes it: BTC.")
VIA = "system (the default): through the trading system; exchange: directly, when it does not answer or refuses."
COINS = "In coins; below zero is short."


class AmountField(serializers.CharField):
    """An exact decimal as a text, or null."""

    def to_representation(self, value: Decimal) -> str:
        """Without exponent."""
        return plain(value)


class ReadingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """How one side was read."""

    ok = serializers.BooleanField(source="is_known", help_text="False: no data. It says nothing about what is there.")
    at = serializers.DateTimeField()
    detail = serializers.CharField(source="problem", help_text="Why there is no data.")


class HeldSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A position as one side has it."""

    size = AmountField(help_text=COINS)
    entry_price = AmountField(source="entry", allow_null=True)
    mark_price = AmountField(source="mark", allow_null=True)
    unrealized_pnl = AmountField(source="pnl", allow_null=True, help_text="In USD.")


class PositionSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One symbol on both sides."""

    symbol = serializers.CharField()
    system = HeldSerializer(allow_null=True, help_text="null: no data.")
    exchange = HeldSerializer(allow_null=True, help_text="null: no data.")
    difference = serializers.CharField(
        source="difference.kind.value", default=None, allow_null=True, help_text="Class in this one read; null: equal."
    )


class OrderSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One open order."""

    id = serializers.CharField(source="order.id")
    symbol = serializers.CharField(source="order.symbol")
    side = serializers.CharField(source="order.side", help_text="buy or sell.")
    kind = serializers.CharField(source="order.kind", help_text="The exchange's word for it.")
    size = AmountField(source="order.size", help_text="What remains, in coins.")
    price = AmountField(source="order.price", allow_null=True)
    reduce_only = serializers.BooleanField(source="order.reduce_only")
    placed_at = serializers.DateTimeField(source="order.placed_at", allow_null=True)
    where = serializers.CharField(help_text="both, system or exchange; with ? when the other side has no data.")


class SidesSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Both sides of an environment, read now."""

    environment = serializers.CharField(source="place.environment.name")
    instance = serializers.CharField(source="sides.instance", help_text="Which one keeps the system's side.")
    role = serializers.CharField(source="sides.role", help_text="Its trading role; empty when it did not say.")
    system = ReadingSerializer(source="sides.system")
    exchange = ReadingSerializer(source="sides.exchange")


class PositionsSerializer(SidesSerializer):
    """The positions of both sides."""

    positions = PositionSerializer(many=True, source="rows")


class OrdersSerializer(SidesSerializer):
    """The open orders of both sides."""

    orders = OrderSerializer(many=True, source="rows")


class CloseSerializer(StrictSerializer):
    """Closing a position."""

    reason = serializers.CharField(max_length=2000, help_text="Why; kept in the audit trail.")
    # No enumeration in the schema: a generated client must not break when a way is added.
    via = serializers.CharField(max_length=20, default=Via.SYSTEM.value, help_text=VIA)


class CancelSerializer(CloseSerializer):
    """Cancelling orders: one, those of a symbol, or all."""

    order = serializers.RegexField(
        r"^[A-Za-z0-9_-]{1,80}\Z", required=False, help_text="Only this one. Not together with symbol."
    )
    symbol = serializers.CharField(required=False, max_length=40, help_text="Only those of this symbol.")


class ClosedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What came of closing a position, read back at the exchange."""

    symbol = serializers.CharField()
    via = serializers.CharField()
    done = serializers.BooleanField(source="is_done", help_text="Read back: nothing is left.")
    before = AmountField(allow_null=True, help_text=f"{COINS} null: could not be read.")
    remaining = AmountField(allow_null=True, help_text="null: could not be read, so nothing is confirmed.")
    read_at = serializers.DateTimeField()
    detail = serializers.CharField(source="words")


class CancelledSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What came of cancelling orders, read back at the exchange."""

    via = serializers.CharField()
    done = serializers.BooleanField(source="is_done", help_text="Read back: none is left.")
    before = serializers.SerializerMethodField(help_text="Ids that were meant; null: could not be read.")
    remaining = serializers.SerializerMethodField(help_text="Ids that are left; null: could not be read.")
    read_at = serializers.DateTimeField()
    detail = serializers.CharField(source="words")

    @extend_schema_field(serializers.ListField(child=serializers.CharField(), allow_null=True))
    def get_before(self, found: positions.Cancelled) -> list[str] | None:
        """Ids before."""
        return None if found.before is None else [one.id for one in found.before]

    @extend_schema_field(serializers.ListField(child=serializers.CharField(), allow_null=True))
    def get_remaining(self, found: positions.Cancelled) -> list[str] | None:
        """Ids that are left."""
        return None if found.remaining is None else [one.id for one in found.remaining]


class DifferenceSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A symbol on which both sides do not agree."""

    symbol = serializers.CharField()
    internal = serializers.CharField(help_text=f"What the system keeps. {COINS}")
    exchange = serializers.CharField(help_text=f"What the exchange says. {COINS}")
    delta = serializers.CharField(help_text="What the exchange has more.")

    def get_fields(self) -> dict[str, Any]:
        """With ``class``, which cannot be the name of an attribute."""
        kind = serializers.CharField(help_text="size, side, missing_internal or missing_exchange.")
        return {**super().get_fields(), "class": kind}


class ComparisonSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One comparison of the system's positions with those of the exchange."""

    environment = serializers.CharField(source="environment.name", read_only=True)
    verdict = serializers.CharField(read_only=True, help_text="pass, fail or no_data.")
    differences = DifferenceSerializer(many=True, read_only=True)
    adopted = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="Symbols for which the exchange's position was taken."
    )
    actor = serializers.CharField(source="actor_name", read_only=True, help_text="Empty for the scheduled check.")

    class Meta:
        model = Comparison
        fields = ("id", "environment", "at", "verdict", "differences", "adopted", "detail", "actor")
        read_only_fields = fields


class ReconciliationSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Where reconciliation stands."""

    environment = serializers.CharField()
    latest = ComparisonSerializer(allow_null=True, help_text="null: never compared.")
    promotion_block = serializers.CharField(allow_null=True, help_text="Why no promotion passes now; null: none.")


@extend_schema_field(
    {"oneOf": [{"type": "string", "enum": ["all"]}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)
class SymbolsField(serializers.Field):  # type: ignore[type-arg]
    """``"all"``, or a list of symbols."""

    def to_internal_value(self, data: object) -> Any:
        """As the use case takes it, which checks the symbols."""
        if data == reconciliation.ALL or (isinstance(data, list) and all(isinstance(one, str) for one in data)):
            return data
        raise serializers.ValidationError('Write "all", or a list of symbols.')

    def to_representation(self, value: Any) -> Any:
        """As it is."""
        return value


class ReconcileSerializer(StrictSerializer):
    """Comparing, and with ``symbols`` taking over the exchange's positions."""

    symbols = SymbolsField(required=False, help_text='Take these over: a list, or "all". Without it: only compare.')
    reason = serializers.CharField(required=False, max_length=2000, help_text="Why; needed with symbols.")


class ComparisonFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of comparisons."""

    environment = serializers.CharField(required=False, max_length=60)
    verdict = serializers.ChoiceField(required=False, choices=Comparison.Verdict.values)


class _PlaceView(APIView):
    """A view below ``environments/<name>/``."""

    def place(self, name: str) -> position_pages.Place:
        """The environment, and what the caller may do there. Raises ``Http404``."""
        try:
            found = position_pages.place(self.request.user, name)
        except Environment.DoesNotExist:
            found = None
        if found is None:
            raise Http404(f"There is no environment {name!r} that you may see.")
        return found

    def given(self, serializer: Any) -> dict[str, Any]:
        """What was sent, checked. Raises ``ValidationError``."""
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


@extend_schema(tags=["Trading"], parameters=[NAME])
class PositionsView(_PlaceView):
    """Positions of an environment."""

    permission_map = {"get": VIEW}

    @extend_schema(summary="Read the positions of both sides", responses={200: PositionsSerializer, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        """Read now, each side within two seconds; one that does not answer has ``ok`` false."""
        return Response(PositionsSerializer(position_pages.positions(self.place(name))).data)


@extend_schema(tags=["Trading"], parameters=[NAME])
class OrdersView(_PlaceView):
    """Open orders of an environment."""

    permission_map = {"get": VIEW}

    @extend_schema(summary="Read the open orders of both sides", responses={200: OrdersSerializer, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        """Read now, trigger orders included."""
        return Response(OrdersSerializer(position_pages.orders(self.place(name))).data)


@extend_schema(tags=["Trading"], parameters=[NAME])
class CloseView(_PlaceView):
    """Closing one position."""

    permission_map = {"post": STOP}

    @extend_schema(
        summary="Close a position",
        parameters=[SYMBOL],
        request=CloseSerializer,
        responses={200: ClosedSerializer, **problems(400, 403, 404, 409, 502)},
    )
    def post(self, request: Request, name: str, symbol: str) -> Response:
        """At the market, reduce-only, also while the kill switch is engaged; what is left is read at the exchange."""
        place = self.place(name)
        given = self.given(CloseSerializer(data=request.data))
        done = positions.close(from_request(request), place.environment, symbol, given["reason"], via=given["via"])
        return Response(ClosedSerializer(done).data)


@extend_schema(tags=["Trading"], parameters=[NAME])
class CancelView(_PlaceView):
    """Cancelling orders."""

    permission_map = {"post": STOP}

    @extend_schema(
        summary="Cancel open orders",
        request=CancelSerializer,
        responses={200: CancelledSerializer, **problems(400, 403, 404, 409, 502)},
    )
    def post(self, request: Request, name: str) -> Response:
        """One, those of a symbol, or without either all, also while the kill switch is engaged."""
        place = self.place(name)
        given = self.given(CancelSerializer(data=request.data))
        reason, via = given.pop("reason"), given.pop("via")
        done = positions.cancel(from_request(request), place.environment, reason, via=via, **given)
        return Response(CancelledSerializer(done).data)


@extend_schema(tags=["Trading"], parameters=[NAME])
class ReconciliationView(_PlaceView):
    """The system's positions against the exchange's."""

    permission_map = {"get": VIEW, "post": VIEW}

    @extend_schema(summary="Show the last comparison", responses={200: ReconciliationSerializer, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        """As the scheduled check, or somebody, made it last."""
        return self._shown(self.place(name))

    @extend_schema(
        summary="Compare, or take over the exchange's positions",
        request=ReconcileSerializer,
        responses={200: ReconciliationSerializer, **problems(400, 403, 404, 409, 502)},
    )
    def post(self, request: Request, name: str) -> Response:
        """Without symbols: compare now. With symbols: the system adopts them, and both sides are read back."""
        place = self.place(name)
        given = self.given(ReconcileSerializer(data=request.data))
        actor = from_request(request)
        if "symbols" in given:
            reconciliation.adopt(actor, place.environment, given["symbols"], given.get("reason", ""))
        else:
            reconciliation.compare_now(actor, place.environment)
        return self._shown(place)

    def _shown(self, place: position_pages.Place) -> Response:
        environment = place.environment
        answer = {
            "environment": environment.name,
            "latest": queries.last_comparison(environment),
            "promotion_block": queries.promotion_block(environment),
        }
        return Response(ReconciliationSerializer(answer).data)


@extend_schema(tags=["Trading"])
class ComparisonsView(generics.ListAPIView[Comparison]):
    """Comparisons that were made."""

    permission_map = {"get": VIEW}
    serializer_class = ComparisonSerializer
    queryset = Comparison.objects.none()

    @extend_schema(
        summary="List comparisons",
        parameters=[
            OpenApiParameter("environment", str, description="Only of this environment."),
            OpenApiParameter("verdict", str, enum=list(Comparison.Verdict.values)),
        ],
        responses={200: ComparisonSerializer(many=True), **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Newest first; those with differences are kept for ever, the others for 90 days."""
        return self.list(request)

    def get_queryset(self) -> QuerySet[Comparison]:
        """Those of environments that the caller may see."""
        wanted = ComparisonFilterSerializer(data=self.request.query_params)
        wanted.is_valid(raise_exception=True)
        found = Comparison.objects.filter(environment__in=Environment.objects.visible_to(self.request.user))
        names = {"environment": "environment__name", "verdict": "verdict"}
        return found.filter(**{names[key]: value for key, value in wanted.validated_data.items()}).select_related(
            "environment"
        )
