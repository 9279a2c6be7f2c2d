"""The pages of the case studies: what their kept results say, as HTML, PDF and JSON."""
