"""Local engines: where a holder's rows are aggregated. DuckDB, embedded, is the only one so far."""
