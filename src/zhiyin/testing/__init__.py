"""Conformance suites and known-answer worlds: a model's test is a few lines, for third-party models too."""
