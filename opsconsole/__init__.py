"""The project that composes the apps of OpsConsole."""
