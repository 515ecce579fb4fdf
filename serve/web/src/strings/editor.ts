import { canvas } from "./editor-canvas";
import { core } from "./editor-core";

export const editor = { canvas, core };
