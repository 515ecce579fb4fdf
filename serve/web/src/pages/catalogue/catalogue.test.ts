import { describe, expect, it } from "vitest";

import { byBase } from "@/api/queries";
import type { Card } from "@/api/types";

import { examplesOf, shownPictures } from "./examples";
import { filtersOf, matching, picturesFirst, queryOf } from "./filters";
import { dollars, priceInWords } from "./prices";

const SIZES = {
  text_to_image: { properties: { width: { default: 1000 }, height: { default: 1000 }, steps: { default: 20 } } },
};
const PICTURE = "data:image/png;base64,iVBORw==";

function card(changed: Partial<Card>): Card {
  const plain = { name: "m", title: "M", description: "", tags: [], base_architecture: "llama", tasks: ["chat"] };
  return {
    ...plain,
    modalities: { input: ["text"], output: ["text"] },
    examples: [],
    inputs: {},
    prices: null,
    ...changed,
  } as unknown as Card;
}

describe("prices in words", () => {
  it.each([
    [0.4, "$0.40"],
    [0.005, "$0.005"],
    [0.0000205, "$0.000021"],
    [12, "$12.00"],
    [0, "$0"],
    [0.1, "$0.10"],
  ])("%d is %s", (value, text) => {
    expect(dollars(value)).toBe(text);
  });

  it.each([
    [{ prompt: "0.40", completion: "1.2" }, {}, "$0.40 per million tokens in, $1.20 out"],
    [{ prompt: "0.005" }, {}, "$0.005 per million tokens in"],
    [{ megapixelStep: "0.0001" }, SIZES, "$0.002 per image at 1000 x 1000 and 20 steps"],
    [
      {
        image: "0.04",
        imageSizes: [
          { upToPixels: 2_000_000, image: "0.03" },
          { upToPixels: 500, image: "1" },
        ],
      },
      SIZES,
      "$0.03 per image at 1000 x 1000 and 20 steps",
    ],
    [{ image: "0.04" }, {}, "$0.04 per image"],
    [{ gpuSecond: "0.001", request: "0.01" }, {}, "$0.001 per second of a GPU, $0.01 per call"],
    [{}, {}, "free"],
    [null, {}, "no price is set"],
  ])("%j", (prices, inputs, words) => {
    expect(priceInWords({ prices, inputs } as unknown as Card)).toBe(words);
  });
});

describe("the catalogue's filters", () => {
  const cards = [
    card({ name: "smol", tags: ["english"] }),
    card({
      name: "paint",
      modalities: { input: ["text"], output: ["image"] },
      tasks: ["text_to_image"],
      base_architecture: "sdxl",
    }),
  ];
  it("survive the address", () => {
    const filters = { q: "a b", modality: "image", task: "text_to_image", base: "sdxl" } as const;
    expect(filtersOf(queryOf(filters))).toEqual(filters);
    expect(queryOf(filtersOf(""))).toBe("");
  });
  it("hold together", () => {
    const names = (query: string) => matching(cards, filtersOf(query)).map(({ name }) => name);
    expect(names("")).toEqual(["smol", "paint"]);
    expect(names("q=ENG+smol")).toEqual(["smol"]);
    expect(names("modality=image")).toEqual(["paint"]);
    expect(names("task=chat&base=sdxl")).toEqual([]);
    expect(names("modality=nonsense")).toHaveLength(2);
  });
});

describe("the catalogue", () => {
  it("begins with what makes something to look at", () => {
    const made = (name: string, output: Card["modalities"]["output"]) =>
      card({ name, modalities: { input: ["text"], output } });
    const shown = picturesFirst([made("a", ["embedding"]), made("b", ["image"]), made("c", ["text"])]);
    expect(shown.map(({ name }) => name)).toEqual(["b", "a", "c"]);
  });
});

describe("examples", () => {
  it("show pictures inside the card and nothing else", () => {
    const shown = card({
      examples: [
        { input: { prompt: "one" }, output: { images: [PICTURE, PICTURE] } },
        {
          input: { prompt: "two" },
          output: { images: ["https://elsewhere/x.png", "data:image/svg+xml;base64,AA==", PICTURE] },
        },
      ],
    });
    expect(shownPictures(shown).map(({ asked }) => asked)).toEqual(["one", "two", "one"]);
  });
  it("ask in the last user's words", () => {
    const messages = [
      { role: "system", content: "s" },
      { role: "user", content: "u" },
    ];
    expect(examplesOf(card({ examples: [{ input: { messages }, output: { text: "t" } }] }))[0]).toMatchObject({
      asked: "u",
      text: "t",
    });
    expect(examplesOf(card({ examples: [{ input: 3 }] }))[0]?.asked).toBe("");
  });
});

it("adapters are told by their base", () => {
  expect(
    byBase([
      { id: "m", parent: null },
      { id: "m:a", parent: "m" },
    ]).get("m"),
  ).toEqual(["m:a"]);
});
