"""Our OpenAPI document against a running api: schemathesis with all of its checks."""
