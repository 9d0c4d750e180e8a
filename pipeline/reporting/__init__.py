"""What a run comes back as: result.json, junit.xml, report.html with its plots, one line."""
