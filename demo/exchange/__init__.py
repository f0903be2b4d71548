"""Paper exchange: orders, positions and fills per account, in the shape of Hyperliquid's HTTP API."""
