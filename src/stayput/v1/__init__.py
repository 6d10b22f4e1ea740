"""Generated from ``proto/stayput/v1`` by ``make proto``; never edited by hand.

Only this file is written by people: it makes the generated modules a package.
"""
