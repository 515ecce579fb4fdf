import { describe, expect, it } from "vitest";

import { errorOf } from "./errors";

const told = (message: string) => errorOf(new Response("{}", { status: 404 }), { error: { message } }).message;

describe("what the API says", () => {
  it("reaches people without the calls that it names to programs", () => {
    expect(told("There is no model 'x'. GET /v1/models lists them.")).toBe("There is no model 'x'.");
    expect(told("there is no operation 'x'; GET /v1/node-types lists what there is")).toBe("there is no operation 'x'");
    expect(told("There is no run 'x'.")).toBe("There is no run 'x'.");
    expect(told("It was deleted. Send it to POST /v1/assets first.")).toBe(
      "It was deleted. Send it to POST /v1/assets first.",
    );
  });
});
