"""/v1/openapi.json: the API as an OpenAPI document."""
