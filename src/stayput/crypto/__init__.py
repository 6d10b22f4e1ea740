"""Numbers and keys: signatures, key agreement, sealing, Paillier, packing, masks.

Every module here is a thin, strict shape around a primitive of ``cryptography`` or GMP; none knows
what a run or a scenario is.  That story is :mod:`stayput.encryption`.
"""
