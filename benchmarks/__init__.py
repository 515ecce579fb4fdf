"""One module per question; each prints one JSON object. It knows the product from outside: as processes that answer HTTP.

Figures are ratios and differences of things that were measured in one run, in turns, on one machine. See README.md.
"""
