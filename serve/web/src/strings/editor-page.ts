/** The editor's page: its bar, how saving goes, what stands in the way. */
export const page = {
  tabs: { label: "Workflow", canvas: "Canvas", app: "App", api: "API", versions: "Versions", runs: "Runs" },
  back: "All workflows",
  notFound: "There is no such workflow",
  notAllowed: "This workflow cannot be opened here",
  rename: "Rename",
  renameTitle: "Title and words",
  fields: {
    title: "Title",
    description: "What it does",
    tags: "Tags",
    tagsHint: "Words that it is found by, separated by commas.",
    done: "Done",
  },
  live: (version: number) => `live is v${String(version)}`,
  notLive: "not published yet",
  status: {
    saved: "draft, saved",
    saving: "draft, saving…",
    dirty: "draft, not saved yet",
    offline: "not saved: the platform does not answer",
    conflict: "not saved: somebody else has changed it",
    error: "not saved",
    "read-only": "read only",
  },
  conflict: (by: string, when: string) =>
    `${by} saved another state of this workflow ${when}. Which one is to be kept?`,
  conflictOwn: (when: string) =>
    `Another window of yours saved another state of this workflow ${when}. Which one is to be kept?`,
  takeTheirs: "Show theirs",
  keepMine: "Keep mine",
  notSaved: (reason: string) => `The draft is not saved: ${reason} What you changed is kept in this browser.`,
  managed: (by: string) => `This workflow is managed by ${by}: it can be run here, but not changed.`,
  noWriting: "You may look at this workflow and run it, but not change it.",
  restorable: (when: string) => `There are changes from ${when} that were never saved.`,
  restore: "Bring them back",
  discard: "Discard them",
  takenOverOwn:
    "Another window of yours has changed this workflow; what you see is the new state. Undo brings this one's back.",
  takenOver: (by: string) => `${by} has changed this workflow; what you see is the new state. Undo brings yours back.`,
};
