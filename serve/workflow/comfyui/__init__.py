"""Import of ComfyUI graphs: what has an equivalent becomes nodes of ours, and everything else is kept and said."""
