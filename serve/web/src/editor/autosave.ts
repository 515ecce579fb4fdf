/**
 * Saves what is on the canvas, a moment after each change, and looks whether somebody else has.
 *
 *     saved ──edit──> dirty ──0.8 s──> saving ──> saved          409 ──> conflict ──"theirs" or "mine"──> saved
 *                       ^                 └── no answer ──> offline ──again, ever more slowly──> saving
 *
 * One save at a time. What is not saved is kept in the browser, too, and offered when the page comes back.
 */
import { type ApiError, asApiError } from "@/api/errors";
import type { Workflow } from "@/api/types";
import { strings } from "@/strings";

import { type Draft, type Drafts, isSameJson, type Replaces, type SavedDraft } from "./drafts";
import type { Copies } from "./local-copies";
import type { EditorStore } from "./store";
import { realTimers, type Timers } from "./timers";

const SAVE_AFTER_MS = 800;
const COPY_AFTER_MS = 300;
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 30_000;
const MAX_UNANSWERED = 8;
const NOTHING = () => undefined;

export class Autosave {
  private stopWaiting: () => void = NOTHING;
  private stopCopying: () => void = NOTHING;
  private stopListening: () => void = NOTHING;
  private underWay: Promise<void> | null = null;
  private retryMs = FIRST_RETRY_MS;
  /** What was sent, where no answer told whether it arrived; the newest last. */
  private unanswered: Draft["workflow"][] = [];
  private isStopped = true;

  constructor(
    private readonly store: EditorStore,
    private readonly drafts: Drafts,
    private readonly copies: Copies,
    private readonly timers: Timers = realTimers,
  ) {}

  start(): void {
    if (!this.isStopped) return;
    this.isStopped = false;
    this.stopListening = this.store.subscribe((state, before) => {
      // What was saved and still is was amended by nobody's hand: see `amend`.
      const isAmended = state.document === state.saved && before.document === before.saved;
      if (state.document !== before.document && !isAmended) this.changed();
    });
  }

  /** Saves what is left, and listens no more. */
  stop(): void {
    this.keep();
    void this.flush().catch(NOTHING);
    this.isStopped = true;
    this.stopListening();
    this.stopWaiting();
    this.stopCopying();
  }

  /** Resolves, with the revision, once what is on the canvas is saved; rejects with an ApiError where it cannot be. */
  async flush(): Promise<string> {
    this.stopWaiting();
    while (this.isDirty()) {
      const { status, error } = this.store.getState();
      if (status === "conflict") throw conflictOf(error);
      await (this.underWay ?? this.save());
      this.refuseUnsaved();
    }
    this.refuseUnsaved();
    return this.store.getState().revision;
  }

  /** Also where nothing may be saved any more: what would be run or published is not what is seen. */
  private refuseUnsaved(): void {
    const { document, saved, error } = this.store.getState();
    if (document !== saved && error !== null) throw error;
  }

  /** Keeps what is not saved in the browser at once: the page may be gone in a moment. */
  keep(): void {
    this.stopCopying();
    const { document, revision } = this.store.getState();
    if (this.isDirty()) this.copies.write({ document, revision, at: this.timers.now() });
  }

  /** Saves again at once, where the last try had no answer. */
  retry(): void {
    const { status, error } = this.store.getState();
    // A refusal stays one until something is changed; who has signed in anew is let in.
    const mayHelp = error !== null && (error.isTransient || error.status === 401);
    if ((status !== "offline" && status !== "error") || !mayHelp) return;
    this.retryMs = FIRST_RETRY_MS;
    this.schedule(0);
  }

  /** Looks whether somebody else has saved; takes it over where nothing is changed here, else it is a conflict. */
  async look(): Promise<void> {
    const { status, revision, workflow, saved } = this.store.getState();
    if (this.underWay !== null || status === "conflict") return;
    let found;
    try {
      found = await this.drafts.look(workflow);
      if (found.revision === revision || this.isPast(revision)) {
        if (found.revision === revision) this.same(found);
        return;
      }
      const theirs = await this.drafts.read(workflow);
      if (this.isPast(revision)) return;
      if (isSameJson(theirs.workflow, saved))
        this.store.setState({ revision: theirs.revision, draft: fieldsOf(theirs) });
      else if (this.isDirty()) this.clash(theirs);
      else this.adopt(theirs, theirs.updated_by);
    } catch (thrown) {
      // Whether the platform answers is told by saves; looking is done again soon.
      asApiError(thrown);
    }
  }

  /** Nobody has saved; it may have been published, here or elsewhere. */
  private same(found: Workflow): void {
    const { draft } = this.store.getState();
    if (found.latest !== draft.latest) this.store.setState({ draft: { ...draft, latest: found.latest } });
    this.retry();
  }

  /** Ends a conflict: what is here goes, but can be brought back with undo. */
  takeTheirs(): void {
    const { conflict } = this.store.getState();
    if (conflict !== null) this.adopt(conflict, null);
  }

  /** Ends a conflict: what is here replaces what the other has saved. */
  async keepMine(): Promise<void> {
    const { conflict } = this.store.getState();
    if (conflict === null) return;
    this.store.setState({
      conflict: null,
      error: null,
      revision: conflict.revision,
      saved: conflict.workflow,
      status: "dirty",
    });
    await this.flush();
  }

  restore(): void {
    const { restorable, apply } = this.store.getState();
    if (restorable === null) return;
    this.store.setState({ restorable: null });
    apply(() => restorable.document, { label: strings.editor.core.edits.restore });
  }

  discard(): void {
    this.store.setState({ restorable: null });
    this.copies.remove();
  }

  private isDirty(): boolean {
    const { document, saved, isReadOnly } = this.store.getState();
    return document !== saved && !isReadOnly;
  }

  private isPast(revision: string): boolean {
    return this.underWay !== null || this.store.getState().revision !== revision;
  }

  private changed(): void {
    const { status } = this.store.getState();
    if (!this.isDirty()) {
      this.stopWaiting();
      this.stopCopying();
      this.copies.remove();
      if (this.underWay === null && status !== "conflict") this.store.setState({ status: "saved", error: null });
      return;
    }
    this.stopCopying();
    this.stopCopying = this.timers.after(COPY_AFTER_MS, () => {
      this.keep();
    });
    if (status === "conflict") return;
    if (status !== "offline") this.store.setState({ status: "dirty" });
    this.schedule(SAVE_AFTER_MS);
  }

  private schedule(milliseconds: number): void {
    this.stopWaiting();
    if (this.isStopped) return;
    this.stopWaiting = this.timers.after(milliseconds, () => {
      void this.save();
    });
  }

  private async save(): Promise<void> {
    if (this.underWay !== null || !this.isDirty()) return;
    const { workflow, document, revision } = this.store.getState();
    this.store.setState({ status: "saving" });
    this.underWay = this.send(workflow, document, { revision });
    await this.underWay;
  }

  private async send(workflow: string, document: Draft["workflow"], replaces: Replaces): Promise<void> {
    try {
      const saved = await this.drafts.save(workflow, document, replaces);
      this.underWay = null;
      this.arrived(saved, document);
    } catch (thrown) {
      const error = asApiError(thrown);
      if (error.isTransient) this.unanswered = [...this.unanswered, document].slice(-MAX_UNANSWERED);
      if (error.code === "revision_mismatch" || error.status === 412) await this.meet(workflow, error);
      else this.failed(error);
    } finally {
      this.underWay = null;
    }
  }

  private arrived({ problems, ...fields }: SavedDraft, document: Draft["workflow"]): void {
    const draft = { ...this.store.getState().draft, ...fields, is_published: false };
    this.retryMs = FIRST_RETRY_MS;
    this.unanswered = [];
    this.store.setState({ saved: document, revision: fields.revision, problems, draft, error: null });
    if (this.isDirty()) {
      this.store.setState({ status: "dirty" });
      this.schedule(SAVE_AFTER_MS);
      return;
    }
    this.stopCopying();
    this.copies.remove();
    this.store.setState({ status: "saved" });
  }

  /** Somebody else has saved: what, is asked at once, to be shown. */
  private async meet(workflow: string, error: ApiError): Promise<void> {
    try {
      const theirs = await this.drafts.read(workflow);
      this.store.setState({ error });
      this.clash(theirs);
    } catch (thrown) {
      this.failed(asApiError(thrown));
    }
  }

  private clash(theirs: Draft): void {
    this.stopWaiting();
    const mine = this.unanswered.find((sent) => isSameJson(sent, theirs.workflow));
    // My own save, whose answer was lost: what was changed since goes on top of it.
    if (mine !== undefined) {
      this.arrived({ ...fieldsOf(theirs), problems: theirs.problems }, mine);
      return;
    }
    // Both may have made the same of it.
    if (isSameJson(theirs.workflow, this.store.getState().document)) this.agree(theirs);
    else {
      this.keep();
      this.store.setState({ status: "conflict", conflict: theirs });
    }
  }

  private agree(theirs: Draft): void {
    const { document } = this.store.getState();
    const { revision, problems } = theirs;
    this.store.setState({ saved: document, revision, problems, draft: fieldsOf(theirs), status: "saved", error: null });
    this.copies.remove();
  }

  /** Shows what somebody else has saved, as a step that can be undone. */
  private adopt(theirs: Draft, by: string | null): void {
    const { revision, problems, workflow: document } = theirs;
    const { isReadOnly, apply } = this.store.getState();
    const status = isReadOnly ? "read-only" : "saved";
    const changed = { saved: document, revision, problems, draft: fieldsOf(theirs), changedBy: by };
    this.store.setState({ ...changed, conflict: null, error: null, status });
    if (isReadOnly) this.store.setState({ document });
    else apply(() => document, { label: strings.editor.core.edits.theirs });
  }

  private failed(error: ApiError): void {
    const { isReadOnly } = this.store.getState();
    if (isReadOnly) return;
    if (error.code === "managed_elsewhere" || error.status === 403) {
      this.keep();
      this.store.setState({ isReadOnly: true, status: "read-only", error });
      return;
    }
    this.keep();
    const told = error.details["problems"];
    // What is no document at all is refused with its problems; the next change may mend it.
    const problems = Array.isArray(told) ? { problems: told as Draft["problems"] } : {};
    this.store.setState({ error, status: error.isOffline ? "offline" : "error", ...problems });
    if (!error.isTransient) return;
    const wait = Math.max(this.retryMs, (error.retryAfterSeconds ?? 0) * 1000);
    this.retryMs = Math.min(LAST_RETRY_MS, this.retryMs * 2);
    this.schedule(wait);
  }
}

function fieldsOf({ workflow: _workflow, problems: _problems, ...rest }: Draft): Omit<Draft, "workflow" | "problems"> {
  return rest;
}

function conflictOf(error: ApiError | null): ApiError {
  return error ?? asApiError(new Error("conflict"));
}
