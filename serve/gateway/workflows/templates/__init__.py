"""Workflows to begin with, one YAML file each, like anyone's. `template_files.py` reads them."""
