/** The units of usage, in one and in several. Those of work within a picture are for whoever asks for all of them. */
const units: Record<string, [one: string, several: string]> = {
  prompt_tokens: ["prompt token", "prompt tokens"],
  cached_prompt_tokens: ["cached prompt token", "cached prompt tokens"],
  completion_tokens: ["completion token", "completion tokens"],
  images: ["image", "images"],
  pixels: ["pixel", "pixels"],
  steps: ["step", "steps"],
  pixel_steps: ["pixel step", "pixel steps"],
  input_images: ["input image", "input images"],
  audio_ms: ["second of audio", "seconds of audio"],
  video_ms: ["second of video", "seconds of video"],
  gpu_ms: ["GPU second", "GPU seconds"],
};

export const usage = {
  units,
};
