"""Retrieval: from scores or vectors to the best items of the whole catalogue."""
