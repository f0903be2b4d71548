"""The commands, one file a group; ``opsctl/cli.py`` lists them."""
