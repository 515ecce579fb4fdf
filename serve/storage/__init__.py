"""Blobs and rows. Knows files, S3 and SQL; knows nothing of what the bytes and rows mean to their owners."""
