"""Commands of the business room."""
