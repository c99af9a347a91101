"""A backend is a module: `reference` is the specification, `cpu` the fast one."""
