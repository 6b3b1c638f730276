"""A shop, as a team would write its domain on top of Tenure: loaded with `domain = "shop"`."""
