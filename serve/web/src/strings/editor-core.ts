/** What the editor's core says: why a link cannot be, what an edit was, how saving goes, and nodes in words. */
const KINDS: Record<string, [one: string, many: string]> = {
  text: ["a text", "texts"],
  number: ["a number", "numbers"],
  boolean: ["a yes or no", "yes or no values"],
  image: ["an image", "images"],
  mask: ["a mask", "masks"],
  audio: ["a sound", "sounds"],
  video: ["a video", "videos"],
  json: ["JSON", "JSON values"],
  embedding: ["an embedding", "embeddings"],
  adapter: ["an adapter", "adapters"],
  model: ["a model", "models"],
};

function kind(name: string, isList: boolean): string {
  const [one, many] = KINDS[name] ?? [name, name];
  return isList ? `a list of ${many}` : one;
}

export const core = {
  kind,
  anything: "anything",
  reasons: {
    itself: "a node cannot feed itself",
    circle: (way: string[]) => `this would be a circle: ${way.join(" -> ")}`,
    noNode: (name: string) => `there is no node ${name}`,
    noOutput: (node: string, port: string) => `${node} has no output ${port}`,
    noInput: (node: string, port: string) => `${node} has no input ${port}`,
    isStatic: (wanted: string) => `${wanted} must be known when the run starts`,
    wrongType: (given: string, wanted: string) => `${given} cannot go where ${wanted} goes`,
    wrongItem: (given: string, wanted: string) => `${given} cannot be among ${wanted}`,
    disagree: (given: string, others: string) => `its values are all alike: ${given} does not go with ${others}`,
    nested: "there are no lists of lists",
    tooMany: "a node runs over 8 lists at the most",
    condition: (given: string) => `a condition is a yes or no, not ${given}`,
  },
  save: {
    saved: "saved",
    saving: "saving…",
    dirty: "not saved yet",
    offline: "the platform does not answer; your changes are kept in this browser",
    conflict: "somebody else has changed this workflow",
    error: "not saved",
    "read-only": "you may look at this workflow, not change it",
  },
  edits: { theirs: "what somebody else saved", restore: "bringing back unsaved changes" },
  conflict: {
    title: "Somebody else has changed this workflow",
    text: (who: string, when: string) => `${who} saved it ${when}, while you had changes of your own.`,
    theirs: "take theirs",
    mine: "keep mine",
  },
  restored: {
    title: "There are changes that were never saved",
    text: (when: string) => `They were made in this browser ${when}.`,
    restore: "bring them back",
    discard: "discard them",
  },
  outline: {
    from: (port: string, node: string, output: string) => `${port} from ${node}, ${output}`,
    ofInput: (port: string, name: string) => `${port} from the workflow's input ${name}`,
    to: (output: string, node: string, port: string) => `${output} to ${node}, ${port}`,
    toOutput: (output: string, name: string) => `${output} is the workflow's output ${name}`,
    condition: "runs only if",
  },
};
