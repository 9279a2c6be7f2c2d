"""The sections of a business case, each a function of the inputs alone. Template words hold no
digit: what is a number is bound to its source.
"""
