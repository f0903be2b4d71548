"""The paper trading system, the content of a release: speaks the ops contract v1, trades on the paper exchange."""
