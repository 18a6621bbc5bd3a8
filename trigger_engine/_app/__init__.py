"""The public app object, which combines the client, the runtime and the read model."""
