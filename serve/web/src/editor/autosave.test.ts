import { beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "@/api/errors";

import { Autosave } from "./autosave";
import { addNode, type Doc, moveNodes, removeNodes, setInput } from "./core/document";
import { placed } from "./core/layout";
import { type Draft, type Drafts, isSameJson, type SavedDraft } from "./drafts";
import { type Copies, localCopies } from "./local-copies";
import { amend, createEditorStore, type EditorStore, problemsAt } from "./store";
import type { Timers } from "./timers";

const FIELDS = {
  name: "card",
  object: "workflow",
  title: "",
  latest: null,
  aliases: {},
  managed_by: "api",
  created_at: "2030-01-01T00:00:00Z",
  updated_at: "2030-01-01T00:00:00Z",
  problems: [],
} as const;

/** The platform's drafts, as far as saving goes. */
class Platform implements Drafts {
  document: Doc = { nodes: { a: { type: "op:constant" } } };
  revision = 1;
  by = "me";
  latest: number | null = null;
  numSaves = 0;
  fault: ApiError | null = null;
  /** What fails then is the answer: the save has happened. */
  losesAnswers = false;
  /** Held back until they are let go. */
  gate: Promise<void> = Promise.resolve();

  private answer(): SavedDraft {
    const problem = {
      node: "a",
      field: "inputs.value",
      code: "missing_input",
      message: "",
      severity: "error" as const,
    };
    return {
      ...FIELDS,
      latest: this.latest,
      revision: `r${String(this.revision)}`,
      updated_by: this.by,
      problems: [problem],
    };
  }

  draft(): Draft {
    return { ...this.answer(), workflow: this.document, is_published: false };
  }

  async read(): Promise<Draft> {
    await this.gate;
    return this.draft();
  }

  async look(): Promise<SavedDraft> {
    if (this.fault?.isOffline) throw this.fault;
    await this.gate;
    return this.answer();
  }

  save: Drafts["save"] = async (_, document, replaces) => {
    const wanted = replaces as { revision: string };
    await this.gate;
    if (this.fault && !this.losesAnswers) throw this.fault;
    this.numSaves += 1;
    if (isSameJson(document, this.document)) return this.answer();
    if (wanted.revision !== `r${String(this.revision)}`) throw new ApiError(409, "revision_mismatch", "no");
    this.document = document;
    this.revision += 1;
    this.by = "me";
    if (this.fault) throw this.fault;
    return this.answer();
  };

  saveAsSomebodyElse(document: Doc): void {
    this.document = document;
    this.revision += 1;
    this.by = "ada";
  }
}

class Hands implements Timers {
  private time = 0;
  private waiting: { at: number; act: () => void }[] = [];

  now = () => this.time;

  after = (milliseconds: number, act: () => void) => {
    const one = { at: this.time + milliseconds, act };
    this.waiting.push(one);
    return () => {
      this.waiting = this.waiting.filter((other) => other !== one);
    };
  };

  async pass(milliseconds: number): Promise<void> {
    const until = this.time + milliseconds;
    for (;;) {
      await settled();
      const next = this.waiting.filter(({ at }) => at <= until).sort((one, other) => one.at - other.at)[0];
      if (next === undefined) break;
      this.time = next.at;
      this.waiting = this.waiting.filter((one) => one !== next);
      next.act();
    }
    this.time = until;
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

let platform: Platform;
let hands: Hands;
let copies: Copies;
let store: EditorStore;
let autosave: Autosave;

beforeEach(() => {
  const texts = new Map<string, string>();
  const kept = {
    getItem: (key: string) => texts.get(key) ?? null,
    setItem: (key: string, value: string) => void texts.set(key, value),
    removeItem: (key: string) => void texts.delete(key),
  };
  platform = new Platform();
  hands = new Hands();
  copies = localCopies({ tenant: "t", person: "p", workflow: "card" }, kept);
  store = createEditorStore(platform.draft());
  autosave = new Autosave(store, platform, copies, hands);
  autosave.start();
});

function give(value: number, coalesce?: string): void {
  store.getState().apply(setInput("a", "value", value), { label: "value", ...(coalesce ? { coalesce } : {}) });
}

const status = () => store.getState().status;
const held = (doc: Doc) => doc.nodes?.["a"]?.inputs?.["value"];
const offline = () => new ApiError(0, "offline", "no answer");

describe("saving", () => {
  it("happens once, a moment after the last of several edits", async () => {
    give(1);
    await hands.pass(700);
    give(2);
    expect(status()).toBe("dirty");
    await hands.pass(700);
    expect(platform.numSaves).toBe(0);
    await hands.pass(200);
    expect([status(), platform.numSaves, held(platform.document)]).toEqual(["saved", 1, 2]);
    expect(store.getState().revision).toBe("r2");
    expect(copies.read()).toBeNull();
  });

  it("is not needed for places that cards were given when they had none; they go with the next edit", async () => {
    copies.write({ document: {}, revision: "r0", at: 0 });
    amend(store, placed());
    await hands.pass(2000);
    expect([status(), platform.numSaves, store.getState().history.past.length]).toEqual(["saved", 0, 0]);
    expect(copies.read()).not.toBeNull();
    give(1);
    await hands.pass(1000);
    expect([platform.numSaves, platform.document.layout?.nodes]).toEqual([1, { a: { x: 0, y: 0 } }]);
    store.getState().undo();
    expect(store.getState().document.layout?.nodes).toEqual({ a: { x: 0, y: 0 } });
  });

  it("goes on with what was changed while it was under way", async () => {
    let open: () => void = () => undefined;
    platform.gate = new Promise((resolve) => (open = resolve));
    give(1);
    await hands.pass(1000);
    expect(status()).toBe("saving");
    give(2);
    open();
    await hands.pass(0);
    expect(status()).toBe("dirty");
    await hands.pass(1000);
    expect([status(), platform.numSaves, held(platform.document)]).toEqual(["saved", 2, 2]);
  });

  it("is not needed for an edit that is undone, and is for one that was saved", async () => {
    give(1);
    store.getState().undo();
    await hands.pass(2000);
    expect([status(), platform.numSaves]).toEqual(["saved", 0]);
    store.getState().redo();
    await autosave.flush();
    store.getState().undo();
    await autosave.flush();
    expect(held(platform.document)).toBeUndefined();
  });

  it("tells the problems that were found, by node and input", async () => {
    give(1);
    await autosave.flush();
    expect(problemsAt(store.getState().problems, "a", "value")).toHaveLength(1);
    expect(problemsAt(store.getState().problems, "b")).toHaveLength(0);
  });

  it("is tried again, more slowly, while nobody answers; the browser keeps the work", async () => {
    platform.fault = offline();
    give(1);
    await hands.pass(1000);
    expect(status()).toBe("offline");
    expect(copies.read()?.document).toEqual(store.getState().document);
    await expect(autosave.flush()).rejects.toMatchObject({ code: "offline" });
    platform.fault = null;
    await hands.pass(20_000);
    expect([status(), copies.read()]).toEqual(["saved", null]);
  });

  it("takes a save of its own, whose answer was lost, for no conflict", async () => {
    platform.fault = offline();
    platform.losesAnswers = true;
    give(1);
    await hands.pass(1000);
    give(2);
    platform.fault = null;
    await hands.pass(20_000);
    expect([status(), store.getState().conflict, held(platform.document)]).toEqual(["saved", null, 2]);
  });

  it("begins at once when the platform is there again", async () => {
    platform.fault = offline();
    give(1);
    await hands.pass(30_000);
    platform.fault = null;
    autosave.retry();
    await hands.pass(1);
    expect(status()).toBe("saved");
  });

  it("stops at a refusal, with its problems, until something is changed", async () => {
    const problems = [{ node: null, field: "title", code: "too_long", message: "", severity: "error" }];
    platform.fault = new ApiError(422, "invalid_workflow", "no", null, null, { problems });
    give(1);
    await hands.pass(60_000);
    expect([status(), store.getState().problems]).toEqual(["error", problems]);
    platform.fault = null;
    give(2);
    await hands.pass(1000);
    expect(status()).toBe("saved");
  });

  it("says where it may no longer be saved, and keeps the work: what would be run is not what is seen", async () => {
    platform.fault = new ApiError(403, "scope_needed", "no");
    give(1);
    await expect(autosave.flush()).rejects.toMatchObject({ status: 403 });
    await expect(autosave.flush()).rejects.toMatchObject({ status: 403 });
    expect(held(copies.read()?.document ?? {})).toBe(1);
  });

  it("learns what was published, though the draft is the same", async () => {
    platform.latest = 2;
    await autosave.look();
    expect(store.getState().draft.latest).toBe(2);
  });

  it("makes the workflow one to look at where it may not be changed", async () => {
    platform.fault = new ApiError(409, "managed_elsewhere", "applied by a file");
    give(1);
    await hands.pass(1000);
    expect(status()).toBe("read-only");
    expect(store.getState().apply(removeNodes(["a"]), { label: "" })).toBe(false);
  });
});

describe("somebody else's edit", () => {
  const theirs: Doc = { nodes: { b: { type: "op:constant" } } };

  it("is taken over where nothing is changed here, and can be undone", async () => {
    platform.saveAsSomebodyElse(theirs);
    await autosave.look();
    const state = store.getState();
    expect([state.document, state.changedBy, status()]).toEqual([theirs, "ada", "saved"]);
    await hands.pass(2000);
    expect(platform.numSaves).toBe(0);
    state.undo();
    await autosave.flush();
    expect(Object.keys(platform.document.nodes ?? {})).toEqual(["a"]);
  });

  it("is a conflict with changes here: theirs is shown, mine can be brought back", async () => {
    platform.saveAsSomebodyElse(theirs);
    give(1);
    await hands.pass(1000);
    expect([status(), store.getState().conflict?.updated_by]).toEqual(["conflict", "ada"]);
    give(2);
    await hands.pass(10_000);
    expect([status(), platform.numSaves]).toEqual(["conflict", 1]);
    await expect(autosave.flush()).rejects.toMatchObject({ code: "revision_mismatch" });
    autosave.takeTheirs();
    expect([store.getState().document, status()]).toEqual([theirs, "saved"]);
    store.getState().undo();
    expect(held(store.getState().document)).toBe(2);
    await autosave.flush();
    expect(held(platform.document)).toBe(2);
  });

  it("is replaced by mine where that is said", async () => {
    give(1);
    platform.saveAsSomebodyElse(theirs);
    await autosave.look();
    expect(status()).toBe("conflict");
    await autosave.keepMine();
    expect([status(), held(platform.document)]).toEqual(["saved", 1]);
  });

  it("is none where both did the same", async () => {
    platform.saveAsSomebodyElse({ nodes: { a: { inputs: { value: 1 }, type: "op:constant" } } });
    give(1);
    await autosave.look();
    expect([status(), store.getState().revision]).toEqual(["saved", "r2"]);
  });

  it("is not taken for one while a save of mine is under way", async () => {
    give(1);
    const looking = autosave.look();
    await Promise.all([autosave.flush(), looking]);
    expect([status(), store.getState().conflict]).toEqual(["saved", null]);
  });
});

describe("work that was never saved", () => {
  it("is offered, and brought back as a step", () => {
    const copy = { document: { nodes: {} }, revision: "r1", at: 5 };
    store = createEditorStore(platform.draft(), { restorable: copy });
    autosave = new Autosave(store, platform, copies, hands);
    autosave.start();
    autosave.restore();
    expect([store.getState().document, store.getState().restorable]).toEqual([copy.document, null]);
    store.getState().undo();
    expect(store.getState().document).toBe(store.getState().saved);
  });

  it("is kept by tenant, person and workflow, and read with care", () => {
    const texts = {
      getItem: () => "{not json",
      setItem: () => {
        throw new Error("full");
      },
      removeItem: () => undefined,
    };
    const full = localCopies({ tenant: "a/b", person: "p", workflow: "w" }, texts);
    expect(full.read()).toBeNull();
    expect(() => {
      full.write({ document: {}, revision: "1", at: 0 });
    }).not.toThrow();
  });
});

describe("the store", () => {
  const drag = (x: number) =>
    store.getState().apply(moveNodes({ a: { x, y: 0 } }), { label: "move", coalesce: "move:1" });

  it("makes one step of a drag, and another of the next", () => {
    const start = store.getState().document;
    for (let x = 1; x < 50; x += 1) drag(x);
    store.getState().settle();
    drag(99);
    expect(store.getState().history.past).toHaveLength(2);
    store.getState().undo();
    expect(store.getState().undo()).toBe("move");
    expect(store.getState().document).toBe(start);
    expect(store.getState().undo()).toBeNull();
  });

  it("selects what an undo brings back, and nothing that is gone", () => {
    const { apply, select } = store.getState();
    apply(addNode({ name: "b", type: "op:constant" }), { label: "add", select: ["b"] });
    apply(removeNodes(["b"]), { label: "delete" });
    expect(store.getState().selection).toEqual([]);
    select(["a"]);
    expect(store.getState().undo()).toBe("delete");
    expect(store.getState().selection).toEqual(["b"]);
    expect(store.getState().undo()).toBe("add");
    expect(store.getState().selection).toEqual([]);
  });
});
