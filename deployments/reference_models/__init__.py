"""Small diffusion models of our own: how their pictures are drawn, trained, read back, and the weights themselves.

Knows torch, diffusers and transformers. Does not know engines, Ray or the gateway: an engine loads
`shapes-sd` and `shapes-sdxl` as it would any diffusers directory, and needs no line of this package.
"""
