"""HTTP: Cattle's /v1 API over the write side and the views. Errors become status codes in one table, gateway.errors."""
