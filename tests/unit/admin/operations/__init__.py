"""What staff do with sockets: the permissions, the pages, what happens, what is said and logged."""
