"""The kinds of documents, by the word that a document says of itself."""

from serve.domain.documents import AdapterDocument, ModelDocument
from serve.domain.platform import PlatformDocument
from serve.domain.workflow import WorkflowDocument

AnyDocument = ModelDocument | AdapterDocument | WorkflowDocument | PlatformDocument
KINDS: dict[str, type[AnyDocument]] = {
    "Model": ModelDocument,
    "Adapter": AdapterDocument,
    "Workflow": WorkflowDocument,
    "Platform": PlatformDocument,
}
