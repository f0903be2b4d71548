"""The paper trading system: what a release artifact contains. Speaks the ops contract v1 and trades on the paper exchange."""
