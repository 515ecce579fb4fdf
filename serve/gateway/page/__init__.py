"""The web app as files: which are there, which form of each a browser gets, and what the page may do in it.

It knows nothing of what the page shows. `serve/web` is where that is made; `make ui` builds it.
"""
