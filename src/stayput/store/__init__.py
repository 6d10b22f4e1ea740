"""Doors to disk: the log mirror and documents (:mod:`.journal`), a holder's own ledger (:mod:`.ledger`)."""
