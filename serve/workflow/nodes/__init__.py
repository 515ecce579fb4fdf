"""The operations: one small file each, with typed ports and a function; `serve.workflow.operations` lists them all."""
