"""The change log: every deployment, configuration change and incident, drawn from what is kept of each."""
