/** How alike vectors are. */

/** The cosine of the angle between two vectors; 0 where one of them has no length. */
export function cosine(one: number[], other: number[]): number {
  let dot = 0;
  let oneSquared = 0;
  let otherSquared = 0;
  one.forEach((value, index) => {
    const against = other[index] ?? 0;
    dot += value * against;
    oneSquared += value * value;
    otherSquared += against * against;
  });
  const lengths = Math.sqrt(oneSquared * otherSquared);
  return lengths === 0 ? 0 : dot / lengths;
}

export function matrixOf(vectors: number[][]): number[][] {
  return vectors.map((one) => vectors.map((other) => cosine(one, other)));
}

/** The lines that hold anything, each once trimmed. */
export function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}
