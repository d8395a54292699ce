"""Encoders: item content to vectors."""
