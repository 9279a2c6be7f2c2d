"""Personal content under a key for each subject, so that it can be made unreadable for good."""
