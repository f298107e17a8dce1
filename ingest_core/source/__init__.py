"""The external API: the sources that fetch an ID, and the settings that describe a request to it."""
