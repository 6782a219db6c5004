"""The demo page and the app's own browser client, in a real Chromium."""
