"""What the API takes and says of keys and of signing in from a command line."""

from __future__ import annotations

from rest_framework import serializers

from accounts import ssh
from accounts.key_actions import LONGEST_OVERLAP_HOURS, MOST_NETWORKS, OVERLAP_HOURS
from accounts.limits import SCOPES
from accounts.models import APIKey
from accounts.openapi import StrictSerializer

STATES = ["usable", "due", "replaced", "expired", "revoked", "inactive"]
_MOST_ENVIRONMENTS = 100


class ScopesField(serializers.ListField):
    """Names of scopes; looking is always among them."""

    def __init__(self, **fields: object) -> None:
        super().__init__(child=serializers.ChoiceField(choices=SCOPES), max_length=len(SCOPES), **fields)


class EnvironmentNamesField(serializers.ListField):
    """Names of environments; null for all."""

    def __init__(self, **fields: object) -> None:
        child = serializers.SlugField(max_length=60)
        super().__init__(child=child, min_length=1, max_length=_MOST_ENVIRONMENTS, **fields)


class KeySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """An API key without its secret."""

    prefix = serializers.CharField(help_text="The part after opsc_; it names the key.")
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES, help_text="due: it ends soon and has no newer key yet.")
    scopes = serializers.ListField(child=serializers.CharField(), help_text="What it may do of what you may do.")
    environments = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Those it reaches; null for all of yours."
    )
    networks = serializers.ListField(child=serializers.CharField(), help_text="From where; empty for anywhere.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    revoked_at = serializers.DateTimeField(allow_null=True)
    replaces = serializers.CharField(
        source="replaces.prefix", default=None, allow_null=True, help_text="Prefix of the key it took over from."
    )
    replaced_by = serializers.CharField(
        source="replaced_by.prefix", default=None, allow_null=True, help_text="Prefix of the key that took over."
    )


class MadeKeySerializer(KeySerializer):
    """A key that was just made."""

    token = serializers.CharField(help_text="The key itself. It is shown this once and kept nowhere.")


class NewKeySerializer(StrictSerializer):
    """A key to be made for oneself."""

    name = serializers.CharField(max_length=100, help_text="What it is for.")
    scopes = ScopesField(help_text="What it may do; an empty list may look.")
    environments = EnvironmentNamesField(
        required=False, allow_null=True, default=None, help_text="Where; left out or null for everywhere you may act."
    )
    networks = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=MOST_NETWORKS,
        default=list,
        help_text="From where, as CIDR; left out for anywhere.",
    )
    days = serializers.IntegerField(
        min_value=1, max_value=APIKey.LIFETIME.days, default=APIKey.LIFETIME.days, help_text="How long it is valid."
    )


class RotateSerializer(StrictSerializer):
    """How a key is changed over."""

    overlap_hours = serializers.IntegerField(
        min_value=0, max_value=LONGEST_OVERLAP_HOURS, default=OVERLAP_HOURS, help_text="How long both keys work."
    )


class RevokeSerializer(StrictSerializer):
    """Why a key ends."""

    reason = serializers.CharField(required=False, max_length=500, default="", help_text="Kept in the audit trail.")


class ChallengeRequestSerializer(StrictSerializer):
    """With which key somebody is going to sign."""

    fingerprint = serializers.RegexField(
        r"\ASHA256:[A-Za-z0-9+/]{43}\Z", help_text="Of the public key, as ssh-keygen -l prints it: SHA256:…"
    )


class ChallengeSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What to sign."""

    challenge = serializers.UUIDField(help_text="Its name; it can be answered once.")
    message = serializers.CharField(help_text="The text to sign, exactly as it is.")
    namespace = serializers.CharField(help_text=f"For ssh-keygen -Y sign -n: {ssh.NAMESPACE}")
    expires_at = serializers.DateTimeField()


class SSHLoginSerializer(StrictSerializer):
    """A signed challenge."""

    challenge = serializers.UUIDField()
    signature = serializers.CharField(max_length=ssh.MAX_TEXT, help_text="-----BEGIN SSH SIGNATURE----- …")
    scopes = ScopesField(required=False, help_text="Less than everything, if wanted.")
    environments = EnvironmentNamesField(
        required=False, allow_null=True, default=None, help_text="Less than everywhere, if wanted."
    )


class PersonSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Who is signed in."""

    username = serializers.CharField()
    name = serializers.CharField(source="display_name")
    role = serializers.CharField(help_text="Admin, Operator or Developer; empty without a role.")


class LoginSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A command line sign-in."""

    token = serializers.CharField(help_text="Send it as Authorization: Bearer …")
    expires_at = serializers.DateTimeField(help_text="15 minutes from now.")
    user = PersonSerializer()


class BrowserLinkSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A link that opens a browser session."""

    url = serializers.CharField(help_text="It works once, within a minute.")
