"""The gallery: an HTML page to browse, filter and compare the cells."""
