"""Data: from raw tables to a prepared dataset, and the values that travel from room to room."""
