"""The golden corpus: whole logs as they were written once, with the state that they gave. What is recorded here is never changed."""
