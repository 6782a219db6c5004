"""Several hubs, and the channel layer between them."""
