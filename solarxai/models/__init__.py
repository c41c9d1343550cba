"""Network architectures, one a file: each class is an `nn.Module` whose arguments are YAML options."""
