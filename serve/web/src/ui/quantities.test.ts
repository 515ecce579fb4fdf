import { describe, expect, it } from "vitest";

import { ago, bytes, count, duration, money } from "./quantities";

const usd = (value: number) => ({ nano_usd: Math.round(value * 1e9), usd: "" });

describe("money", () => {
  it.each([
    [0, "$0"],
    [12.4, "$12.40"],
    [1, "$1.00"],
    [0.42, "$0.42"],
    [0.5, "$0.50"],
    [0.004, "$0.004"],
    [0.0123, "$0.012"],
    [0.9999, "$1.00"],
    [0.00001, "$0.00001"],
    [0.0000123, "$0.000012"],
    [0.000000001, "$0.000000001"],
    [1234.5, "$1,234.50"],
    [-0.5, "-$0.50"],
  ])("writes %d as %s", (value, written) => {
    expect(money(usd(value))).toBe(written);
  });

  it("writes nothing where nothing is known", () => {
    expect(money(null)).toBe("");
    expect(money(undefined)).toBe("");
  });
});

describe("durations", () => {
  it.each([
    [0.04, "40 ms"],
    [0.44, "0.4 s"],
    [9.97, "10 s"],
    [12.4, "12 s"],
    [59.7, "1 min"],
    [185, "3 min 5 s"],
    [119.6, "2 min"],
    [7440, "2 h 4 min"],
    [7200, "2 h"],
    [90_000, "1 d 1 h"],
  ])("writes %d seconds as %s", (seconds, written) => {
    expect(duration(seconds)).toBe(written);
  });
});

describe("bytes and counts", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [380_000, "380 kB"],
    [999_700, "1.0 MB"],
    [1_234_567, "1.2 MB"],
  ])("writes %d as %s", (size, written) => {
    expect(bytes(size)).toBe(written);
  });

  it("groups thousands", () => {
    expect(count(1234567)).toBe("1,234,567");
  });
});

describe("moments", () => {
  const now = Date.parse("2030-03-10T12:00:00Z");
  it.each([
    ["2030-03-10T11:59:30Z", "just now"],
    ["2030-03-10T11:56:00Z", "4 min ago"],
    ["2030-03-10T11:00:20Z", "1 h ago"],
    ["2030-03-10T07:00:00Z", "5 h ago"],
    ["2030-03-09T09:00:00Z", "yesterday"],
    ["2030-03-08T20:00:00Z", "8 Mar"],
    ["2030-03-01T09:00:00Z", "1 Mar"],
    ["2029-03-01T09:00:00Z", "1 Mar 2029"],
    ["2030-03-10T12:00:30Z", "just now"],
  ])("tells %s as %s", (moment, told) => {
    expect(ago(moment, now)).toBe(told);
  });
});
