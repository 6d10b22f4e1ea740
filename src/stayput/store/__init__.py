"""Doors to disk: log mirror and documents (:mod:`.journal`), a holder's own :mod:`.ledger`."""
