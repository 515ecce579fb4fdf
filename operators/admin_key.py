"""`python -m operators.admin_key`: the administrator's key that the mounted admin secret stands for.

    kubectl exec deploy/slipway-operator -- python -m operators.admin_key

It is printed, and nowhere else told: whoever may `exec` into the operator's pod could read the Secret there anyway.
"""

import sys
from pathlib import Path

from operators.settings import OperatorSettings
from serve.auth.tokens import admin_token


def read_admin_key(file: Path) -> str:
    """The key of a mounted admin secret.

    Raises:
        OSError: the file cannot be read.
        ValueError: what is in it is no key, and none can be made from it.
    """
    return admin_token(file.read_text()).text


if __name__ == "__main__":
    sys.stdout.write(read_admin_key(OperatorSettings().admin_file) + "\n")
