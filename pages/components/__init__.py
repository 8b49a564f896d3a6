"""Components of the pages, in one folder per page; those of several pages are in `shared`."""
