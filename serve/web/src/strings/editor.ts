import { canvas } from "./editor-canvas";

export const editor = { canvas };
