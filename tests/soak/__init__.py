"""Several hosts, many kills: the real service under the worst that a machine does, judged by what the API saw."""
