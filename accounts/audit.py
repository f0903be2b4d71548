"""The audited actions of this app."""

from audit.registry import register

register(
    account__signed_in="Signed in",
    account__signed_out="Signed out",
    account__link_issued="Sign-in link issued",
    user__created="User created",
    api_key__created="API key created",
    api_key__revoked="API key revoked",
)
