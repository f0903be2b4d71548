"""Tables of people, how they sign in, and their keys."""

from accounts.models.factors import AuthenticatorApp, Passkey, RecoveryCode, SSHKey
from accounts.models.keys import APIKey, IdempotencyKey
from accounts.models.people import User
from accounts.models.sign_in import Challenge, SignInFailure, UserSession

__all__ = [
    "APIKey",
    "AuthenticatorApp",
    "Challenge",
    "IdempotencyKey",
    "Passkey",
    "RecoveryCode",
    "SSHKey",
    "SignInFailure",
    "User",
    "UserSession",
]
