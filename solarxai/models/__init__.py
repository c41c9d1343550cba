"""Network architectures, one a file: an `nn.Module` whose arguments are its YAML options."""
