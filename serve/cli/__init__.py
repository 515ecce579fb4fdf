"""The `slipway` command: one module per command, over HTTP; `up`, `down`, `config` and `doctor` alone are about this machine."""
