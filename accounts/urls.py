"""Addresses of signing in and out, and of one's own account."""

from django.urls import path

from accounts import account_views, key_views, oidc_views, views

urlpatterns = [
    path("login/", views.sign_in, name="login"),
    path("login/passkey/", views.sign_in_passkey, name="sign_in_passkey"),
    path("login/passkey/options/", views.sign_in_passkey_options, name="sign_in_passkey_options"),
    path("login/second/", views.second_factor, name="second_factor"),
    path("login/second/options/", views.second_factor_options, name="second_factor_options"),
    path("login/link/<str:token>/", views.sign_in_link, name="sign_in_link"),
    path("login/oidc/", oidc_views.oidc_begin, name="oidc"),
    path("login/oidc/callback/", oidc_views.oidc_callback, name="oidc_callback"),
    path("logout/", views.sign_out, name="logout"),
    path("account/", account_views.account, name="account"),
    path("account/security/", account_views.security, name="security"),
    path("account/security/passkeys/", account_views.passkey_add, name="passkey_add"),
    path("account/security/passkeys/options/", account_views.passkey_options, name="passkey_options"),
    path("account/security/passkeys/<int:pk>/", account_views.passkey_rename, name="passkey_rename"),
    path("account/security/passkeys/<int:pk>/remove/", account_views.passkey_remove, name="passkey_remove"),
    path("account/security/app/", account_views.app, name="app"),
    path("account/security/app/start/", account_views.app_start, name="app_start"),
    path("account/security/app/remove/", account_views.app_remove, name="app_remove"),
    path("account/security/recovery/", account_views.recovery_codes, name="recovery_codes"),
    path("account/sessions/", account_views.session_list, name="sessions"),
    path("account/sessions/<int:pk>/end/", account_views.session_end, name="session_end"),
    path("account/sessions/end-others/", account_views.session_end_others, name="session_end_others"),
    path("account/keys/", key_views.key_list, name="keys"),
    path("account/keys/new/", key_views.key_new, name="key_new"),
    path("account/keys/<slug:prefix>/", key_views.key_detail, name="key"),
    path("account/keys/<slug:prefix>/rotate/", key_views.key_rotate, name="key_rotate"),
    path("account/keys/<slug:prefix>/revoke/", key_views.key_revoke, name="key_revoke"),
    path("account/ssh-keys/", key_views.ssh_keys, name="ssh_keys"),
    path("account/ssh-keys/<int:pk>/remove/", key_views.ssh_key_remove, name="ssh_key_remove"),
]
