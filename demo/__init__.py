"""Stand-alone programs of the demonstration: a paper exchange, a paper trading system, its releases, a load generator.

They import no Django and nothing of the console; everything is reached over the network.
"""
