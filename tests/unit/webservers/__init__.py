"""What is particular to daphne and uvicorn."""
