"""A second role for a while; the only way to hold two duties that conflict is here, on record."""
