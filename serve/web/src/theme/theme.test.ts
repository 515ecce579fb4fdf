import { beforeEach, describe, expect, it, vi } from "vitest";

import { applyTheme, chooseTheme, chosenTheme } from "./theme";

let systemIsDark = true;
let systemChanges: () => void = () => undefined;

beforeEach(() => {
  localStorage.clear();
  systemIsDark = true;
  vi.stubGlobal("matchMedia", () => ({
    get matches() {
      return systemIsDark;
    },
    addEventListener: (_: string, changed: () => void) => {
      systemChanges = changed;
    },
  }));
});

const painted = () => document.documentElement.dataset["theme"];

describe("the theme", () => {
  it("is the system's until one is chosen, and follows it", () => {
    applyTheme();
    expect(painted()).toBe("dark");
    systemIsDark = false;
    systemChanges();
    expect(painted()).toBe("light");
  });

  it("is kept once chosen, and given back", () => {
    chooseTheme("light");
    expect([painted(), chosenTheme()]).toEqual(["light", "light"]);
    chooseTheme("system");
    expect([painted(), chosenTheme()]).toEqual(["dark", "system"]);
  });

  it("takes no word that it does not know", () => {
    localStorage.setItem("slipway-theme", "<b>");
    expect(chosenTheme()).toBe("system");
  });
});
