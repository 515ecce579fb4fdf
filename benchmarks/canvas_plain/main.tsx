/** What the editor's canvas is measured against: React Flow's stress example, its own default nodes and nothing else. */
import "@xyflow/react/dist/style.css";

import {
  Background,
  Controls,
  type Edge,
  MiniMap,
  type Node,
  ReactFlow,
  type ReactFlowInstance,
  useEdgesState,
  useNodesState,
} from "@xyflow/react";
import { createRoot } from "react-dom/client";

const COLUMNS = 20;
const count = Number(new URLSearchParams(location.search).get("nodes"));
const names = Array.from({ length: count }, (_, index) => `n${String(index)}`);

const initialNodes: Node[] = names.map((id, index) => ({
  id,
  position: {
    x: (index % COLUMNS) * 320,
    y: Math.floor(index / COLUMNS) * 220,
  },
  data: { label: `node ${id}` },
}));
const initialEdges: Edge[] = names
  .slice(1)
  .map((id, index) => ({
    id: `e${id}`,
    source: names[index] ?? id,
    target: id,
  }));

/** The editor's keys for these. */
function zoomByKeys(flow: ReactFlowInstance): void {
  window.addEventListener("keydown", ({ code, shiftKey }) => {
    if (shiftKey && code === "Digit1") void flow.fitView();
    if (shiftKey && code === "Digit0") void flow.zoomTo(1);
  });
}

function Plain() {
  const [nodes, , onNodesChange] = useNodesState(initialNodes);
  const [edges, , onEdgesChange] = useEdgesState(initialEdges);
  return (
    <ReactFlow
      nodes={nodes}
      edges={edges}
      onNodesChange={onNodesChange}
      onEdgesChange={onEdgesChange}
      onInit={zoomByKeys}
      fitView
      minZoom={0.1}
    >
      <MiniMap />
      <Controls />
      <Background />
    </ReactFlow>
  );
}

const root = document.getElementById("root");
if (root) createRoot(root).render(<Plain />);
