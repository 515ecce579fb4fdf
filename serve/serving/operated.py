"""`ports.DesiredState` on a cluster whose operator makes the configuration: documents are in the database, where the
operator reads them within seconds and writes them into the resources that Ray's cluster is made from."""

from collections.abc import Sequence

from serve.domain.documents import ModelDocument


class OperatedDesiredState:
    """Nothing is left to do once a document is stored. Were the gateway to write to Ray as well, two would write to one
    configuration, and the one who writes last does not know what the other wanted."""

    async def apply(self, models: Sequence[ModelDocument]) -> None:
        """They will be."""
