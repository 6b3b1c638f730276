"""Reports: the evidence as auditors read it, and nothing of any tenant's data.

One module a report: frozen values, and the queries that fill them. Every figure is computed
here and nowhere else, so that page, JSON and CSV say the same.
"""
