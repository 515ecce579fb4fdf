/** Which models can do a node's work in place of the one it names, and which tasks its own model does. */
import type { NodeSpec } from "@/api/types";
import type { NodeType } from "@/editor/node-types";

import { setType } from "./nodes";
import { declarationOf, typeOfNode } from "./palette";
import { type Edit, nodeOf } from "./types";

const PREFIX = "model:";

/** Of a node, or of a node type. */
export function isOfModel(node: { type: string }): boolean {
  return node.type.startsWith(PREFIX);
}

export function modelNamed(node: { type: string }): string {
  return node.type.slice(PREFIX.length);
}

/**
 * One entry for each model that does the node's task. Where its own model is not here the task is not known either: then
 * those that take the most of what the node is given.
 */
export function modelsFor(node: NodeSpec, types: readonly NodeType[]): NodeType[] {
  const models = types.filter((one) => one.type.startsWith(PREFIX));
  const task = node.task ?? typeOfNode(node, types)?.task;
  if (task) return models.filter((one) => one.task === task);
  const given = Object.keys(node.inputs ?? {});
  const strange = (one: NodeType) => given.filter((name) => declarationOf(one, name) === null).length;
  const nearest = [...new Set(models.map((one) => one.type))]
    .map((type) => typeOfNode({ ...node, type }, types))
    .filter((one) => one !== null);
  const fewest = Math.min(...nearest.map(strange));
  return nearest.filter((one) => strange(one) === fewest);
}

/** What the node's model does, one entry for each task. */
export function tasksOf(node: NodeSpec, types: readonly NodeType[]): NodeType[] {
  return types.filter((one) => one.type === node.type);
}

/** Another model for a node. It goes on doing the same task, which is written where its model does several. */
export function setModel(name: string, type: string, types: readonly NodeType[]): Edit {
  return (doc) => {
    const node = nodeOf(doc, name);
    if (node === undefined) return doc;
    const task = node.task ?? typeOfNode(node, types)?.task ?? typeOfNode({ ...node, type }, types)?.task;
    const isOneOfSeveral = types.filter((one) => one.type === type).length > 1;
    return setType(name, type, isOneOfSeveral ? task : null)(doc);
  };
}

export function setTask(name: string, task: string): Edit {
  return (doc) => {
    const node = nodeOf(doc, name);
    return node === undefined ? doc : setType(name, node.type, task)(doc);
  };
}
