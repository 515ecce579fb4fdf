"""Media as bytes: what strangers' files really are, decoding within bounds, encoding with metadata.

Knows formats and their traps. Does not know where bytes come from, whose they are, or what they are for. Everything
here is synchronous and takes milliseconds to seconds: whoever has an event loop calls it in a thread.
"""
