import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { inputsOf, outputsOf } from "@/editor/core/types";
import type { Draft } from "@/editor/drafts";
import { createEditorStore } from "@/editor/store";
import { TooltipProvider } from "@/ui/tooltip";

import { InspectorInterface } from "./InspectorInterface";
import { editor, open } from "./opened";
import { useCanvasView } from "./view";

const workflow = {
  interface: {
    inputs: [
      { name: "subject", type: "text", default: "star" },
      { name: "seed", type: "number", optional: true },
      { name: "photo", type: "image" },
    ],
    outputs: [{ name: "card", from: ["words", "text"] }],
  },
  nodes: { words: { type: "op:text.template", inputs: { value_what: { $input: "subject" } } } },
};

const names = () => inputsOf(editor().document).map((one) => one.name);
const steps = () => editor().history.past.length;
const button = (name: string) => screen.getByRole("button", { name });

function press(name: string): void {
  button(name).focus();
  fireEvent.click(button(name));
}

function field(of: string, label: string): HTMLElement {
  const group = screen.getByRole("group", { name: of });
  const found = [...group.querySelectorAll("label")].find((one) => one.textContent === label);
  return group.querySelector<HTMLElement>(`[id="${found?.htmlFor ?? ""}"]`) as HTMLElement;
}

beforeEach(() => {
  open(createEditorStore({ name: "card", workflow, problems: [] } as unknown as Draft), []);
  render(
    <TooltipProvider>
      <InspectorInterface />
    </TooltipProvider>,
  );
});

afterEach(cleanup);

describe("the interface in the inspector", () => {
  it("moves an input with the focus on it, and says where it is", () => {
    press("Move subject down");
    expect([names(), steps()]).toEqual([["seed", "subject", "photo"], 1]);
    expect(document.activeElement).toBe(button("Move subject down"));
    expect(useCanvasView.getState().said.text).toBe("subject is now 2 of 3.");
    // At the end it can only go up again.
    press("Move subject down");
    expect(document.activeElement).toBe(button("Move subject up"));
  });

  it("removes one, and goes on to the next", () => {
    press("Remove photo");
    expect(document.activeElement).toBe(button("Remove seed"));
    press("Remove subject");
    expect([names(), steps()]).toEqual([["seed"], 2]);
    expect(editor().document.nodes?.["words"]?.inputs).toEqual({ value_what: "star" });
    press("Remove seed");
    expect(document.activeElement).toBe(screen.getByRole("heading", { name: "Inputs" }));
  });

  it("renames everywhere, and refuses a bad or taken name", () => {
    const name = field("Input subject", "Name of the input");
    const write = (value: string) => {
      fireEvent.change(name, { target: { value } });
      fireEvent.keyDown(name, { key: "Enter" });
    };
    write("seed");
    expect(screen.getByText("The workflow has an input of this name already.")).toBeTruthy();
    expect(useCanvasView.getState().said.text).toMatch(/^Not renamed/);
    write("Two words");
    expect([names()[0], steps()]).toEqual(["subject", 0]);
    write("what");
    expect(editor().document.nodes?.["words"]?.inputs).toEqual({ value_what: { $input: "what" } });
    act(() => void editor().undo());
    expect((name as HTMLInputElement).value).toBe("subject");
  });

  it("writes titles and descriptions, each as one step", () => {
    for (const value of ["T", "Th", "The card"])
      fireEvent.change(field("Output card", "Title for people"), { target: { value } });
    fireEvent.change(field("Output card", "Description"), { target: { value: "What it is." } });
    expect(outputsOf(editor().document)[0]).toMatchObject({ title: "The card", description: "What it is." });
    expect(steps()).toBe(2);
  });

  it("says what must be given: nothing that has a default", () => {
    expect(screen.getByText("Default: star")).toBeTruthy();
    fireEvent.click(field("Input seed", "Must be given"));
    expect(inputsOf(editor().document)[1]).toEqual({ name: "seed", type: "number" });
  });
});
