"""The proof: is every occurrence of a tenant's table bound to one tenant?"""
