"""Evaluation: protocols, honest numbers, comparisons and reports."""
