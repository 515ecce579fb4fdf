"""The `slipway` command: one module per noun, over HTTP; only `up` and `down` touch this machine."""
