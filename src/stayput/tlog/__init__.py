"""Bytes of a transparency log: Merkle tree, signed notes, cosigned checkpoints, tiles, policies.

The formats are C2SP's, unchanged, so tools that are not ours can verify our log:
:mod:`~stayput.tlog.merkle` (RFC 6962, RFC 9162), :mod:`~stayput.tlog.note` (signed-note),
:mod:`~stayput.tlog.checkpoint` (tlog-checkpoint), :mod:`~stayput.tlog.cosignature`
(tlog-cosignature), :mod:`~stayput.tlog.tiles` (tlog-tiles), :mod:`~stayput.tlog.policy`
(tlog-policy), :mod:`~stayput.tlog.proof` (tlog-proof@v1).
What an entry means is not known here; that is :mod:`stayput.session`.
"""
