"""The `slipway` command: one module per command; only `up`, `down`, `config` and `doctor` know more than HTTP."""
