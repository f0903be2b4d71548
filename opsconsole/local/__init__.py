"""Local services: PostgreSQL, Valkey and HAProxy from their wheels, kept alive by supervisord. No Django."""
