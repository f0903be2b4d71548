"""A package, so that the stack and the browser of these tests end with them and not with the whole run."""
