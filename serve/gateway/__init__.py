"""The HTTP surface: authenticate, validate, hand over, stream back. Knows no engine and no Ray."""
