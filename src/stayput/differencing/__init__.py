"""Differencing: what several answers give away together.

A cell may be large enough, and the difference of two released cells may be one person.  This
package looks at all questions that a scenario allows *before* anybody answers, from the sealed text
alone: :mod:`.regions` turns conditions into sets of atoms, :mod:`.static` searches them.

It sees no data: it says which groups of rows could be isolated, not how large they are.
"""

from stayput.differencing.static import Finding, Question, StaticAudit, audit

__all__ = ["Finding", "Question", "StaticAudit", "audit"]
