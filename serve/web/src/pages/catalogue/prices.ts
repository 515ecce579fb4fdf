/** What a model costs, in words: the API's prices are decimal texts by unit, people compare sentences. */
import type { Card } from "@/api/types";
import { type InputSchema } from "@/api/types";
import { strings } from "@/strings";

/** How a price is shown: enough digits to say something, no zeros that say nothing. */
export function dollars(value: number): string {
  if (value === 0) return "$0";
  if (value >= 1) return `$${value.toFixed(2)}`;
  const digits = Math.min(12, 1 - Math.floor(Math.log10(value)));
  const text = value.toFixed(digits).replace(/0+$/, "");
  const places = text.length - text.indexOf(".") - 1;
  return `$${places < 2 ? value.toFixed(2) : text}`;
}

/** One sentence per price, the telling one first; empty for a model that nobody has priced. */
export function pricesInWords(card: Pick<Card, "prices" | "inputs">): string[] {
  const prices = card.prices ?? {};
  return [...tokenPrices(prices), ...imagePrices(prices, card.inputs), ...otherPrices(prices)];
}

/** The whole in one line, for a card; says so where nothing is priced. */
export function priceInWords(card: Pick<Card, "prices" | "inputs">): string {
  if (card.prices === null) return strings.catalogue.unpriced;
  const words = pricesInWords(card);
  return words.length === 0 ? strings.catalogue.free : words.join(", ");
}

type Prices = Record<string, unknown>;

function tokenPrices(prices: Prices): string[] {
  const says = strings.catalogue.price;
  const prompt = numberOf(prices["prompt"]);
  const completion = numberOf(prices["completion"]);
  if (prompt !== null && completion !== null) return [says.tokensInOut(dollars(prompt), dollars(completion))];
  if (prompt !== null) return [says.tokensIn(dollars(prompt))];
  return completion === null ? [] : [says.tokensOut(dollars(completion))];
}

/** A price by pixels and steps becomes that of one picture as the model makes it by default. */
function imagePrices(prices: Prices, inputs: Card["inputs"]): string[] {
  const says = strings.catalogue.price;
  const image = numberOf(prices["image"]);
  const plain = plainPicture(inputs);
  if (plain === null) return image === null ? [] : [says.image(dollars(image))];
  const { width, height, steps } = plain;
  const megapixels = (width * height) / 1e6;
  const sized = sizedPrice(prices["imageSizes"], width * height) ?? image ?? 0;
  const perPicture =
    sized +
    megapixels * (numberOf(prices["megapixel"]) ?? 0) +
    megapixels * steps * (numberOf(prices["megapixelStep"]) ?? 0);
  return perPicture === 0 ? [] : [says.imageOf(dollars(perPicture), width, height, steps)];
}

function otherPrices(prices: Prices): string[] {
  const { inputImage, audioSecond, videoSecond, gpuSecond, request } = strings.catalogue.price;
  const words = { inputImage, audioSecond, videoSecond, gpuSecond, request };
  return Object.entries(words).flatMap(([name, says]) => {
    const price = numberOf(prices[name]);
    return price === null ? [] : [says(dollars(price))];
  });
}

interface Picture {
  width: number;
  height: number;
  steps: number;
}

function plainPicture(inputs: Card["inputs"]): Picture | null {
  const schema = inputs["text_to_image"] as InputSchema | undefined;
  const [width, height, steps] = ["width", "height", "steps"].map((name) => schema?.properties?.[name]?.default);
  if (typeof width !== "number" || typeof height !== "number") return null;
  return { width, height, steps: typeof steps === "number" ? steps : 0 };
}

/** As the ledger does: the first size that is large enough. */
function sizedPrice(sizes: unknown, pixels: number): number | null {
  if (!Array.isArray(sizes)) return null;
  const fitting = (sizes as Prices[])
    .filter((size) => typeof size["upToPixels"] === "number" && size["upToPixels"] >= pixels)
    .sort((a, b) => Number(a["upToPixels"]) - Number(b["upToPixels"]));
  return numberOf(fitting[0]?.["image"]);
}

function numberOf(text: unknown): number | null {
  if (typeof text !== "string" && typeof text !== "number") return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}
