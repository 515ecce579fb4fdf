"""What an attempt consumed: the only thing that is priced."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Quantities:
    """Counted units of one attempt, read from engine objects; zero where a unit does not apply.

    Tokens are counted, never estimated. `cached_prompt_tokens` is a part of `prompt_tokens`. Pixels are output
    pixels; `pixel_steps` is pixels times denoising steps. Seconds are of media, `gpu_ms` of the accelerator.
    """

    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    pixels: int = 0
    pixel_steps: int = 0
    input_images: int = 0
    audio_seconds: float = 0.0
    video_seconds: float = 0.0
    gpu_ms: int = 0

    def nonzero(self) -> dict[str, int | float]:
        """The units that apply, by name; what an answer shows."""
        return {name: value for name, value in asdict(self).items() if value}
