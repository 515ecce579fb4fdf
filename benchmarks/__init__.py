"""One module per question; each prints one JSON object. The product is known from outside: as what answers HTTP.

Figures are ratios and differences of things that were measured in one run, in turns, on one machine. See README.md.
"""
