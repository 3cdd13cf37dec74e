"""HTML mode: the documents of the API as pages, for people with a browser."""
