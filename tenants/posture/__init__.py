"""The posture audit: what in a PostgreSQL database lets one tenant reach another.

`reader` reads the catalogs into `facts`; `discovery` finds tenant columns and the app's
roles; an `Audit` joins both; each module of `rules` is one rule, a pure function of it;
`audit` runs them all into a `Report`. Imports psycopg2 and sqlglot, nothing of the server.
"""
