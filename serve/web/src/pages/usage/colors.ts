/** The colours of series: those of the port types, which differ in both themes and for colour-blind people. */
import { LARGEST, type Series } from "./series";

const COLORS = ["--p-text", "--p-image", "--p-json", "--p-video", "--p-number", "--p-audio"];

/** The custom property with the colour of the `index`th series. */
export function colorOf(series: Pick<Series, "name">, index: number): string {
  return series.name === null || index >= LARGEST ? "--fg-faint" : (COLORS[index] ?? "--fg-faint");
}
