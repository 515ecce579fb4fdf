"""What goes into a model and what comes out."""

from enum import StrEnum


class Modality(StrEnum):
    """A kind of content. A model has inputs and outputs of one or more."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    EMBEDDING = "embedding"
