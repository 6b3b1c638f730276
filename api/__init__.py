"""The outermost floor: HTTP, pages, scheduler, command line, and the wiring of it all."""
